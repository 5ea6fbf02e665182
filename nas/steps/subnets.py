"""Which subnets of a run are measured, and when there are enough of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic as now_s

import numpy as np

from nas.display import Display, duration
from nas.hardware.profile import HardwareProfile
from nas.measurement.design import measuring_order
from nas.measurement.file import MeasurementFile
from nas.measurement.records import MIN_MEASUREMENTS, Measurement
from nas.predictors.fit import held_out_error
from nas.run import Run
from nas.runtimes.base import RUNTIMES
from nas.steps.on_device import measure_for
from search_spaces.architecture import Architecture
from supernet.costs import Costs
from supernet.extract import VisionTransformer, build_model

CANDIDATES = 1024
FEWEST, STEP = 40, 12
GAIN = 0.95
"""More are measured while the held-out error falls below this share of the least so far, ..."""
PATIENCE = 2
"""... and stops when it did not in so many steps."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured for a predictor, and why not more.

    Attributes:
        rows: measurements.
        asked: the most that was asked for.
        reason: ``all``, ``error`` (it no longer falls) or ``time``.
    """

    rows: list[Measurement]
    asked: int
    reason: str


def profile_subnets(run: Run, count: int) -> list[Architecture]:
    """Distinct subnets to measure: the ends of the space, then by ``measuring_order``.

    A longer list begins with the shorter one.
    """
    space = run.offered
    rng = np.random.default_rng([run.config.seed, 3])
    ends = [
        space.extreme(largest=largest, patch_size=patch)
        for patch in space.spec.patch_size
        for largest in (True, False)
    ]
    drawn_NG, _ = space.repair(space.sample_genes(rng, CANDIDATES))
    # Canonical rows differ where architectures do; the order of the draw stays.
    rows_NG = np.concatenate([np.stack(ends), drawn_NG])
    first = np.sort(np.unique(rows_NG, axis=0, return_index=True)[1])
    rows_NG = rows_NG[first]
    features_NF = run.costs(rows_NG).features_BF
    order = measuring_order(features_NF, range(int((first < len(ends)).sum())), count)
    return [space.decode(rows_NG[index]) for index in order]


def measure_subnets(
    run: Run, profile: HardwareProfile, most: int, fewest: int, display: Display
) -> Measured:
    """Measure until the held-out error stops falling, time is up, or ``most`` are measured.

    Measurements that are there already count; nothing is measured twice.
    """
    subnets = profile_subnets(run, most)
    most, fewest = len(subnets), min(fewest, len(subnets))
    time = duration(most * RUNTIMES[profile.runtime].seconds_per_model)
    display.line(f"up to {most} subnets in {profile.runtime}: about {time}")
    enough, started_s = Enough(), now_s()
    with display.bar("measure", most, "subnets") as bar:
        for count in [*range(fewest, most, STEP), most]:
            rows = measure_for(
                run,
                profile,
                [(subnet, builder(run, subnet)) for subnet in subnets[:count]],
                run.folder.measurements(profile.key()),
                seed=run.config.seed,
                max_seconds=_left(run.config.profile.seconds, now_s() - started_s),
                on_progress=lambda done, total: bar.at(done),
            )
            if len(rows) + _failures(run, profile) < count:
                return Measured(rows, most, "time")
            if count < most and len(rows) >= MIN_MEASUREMENTS and enough(_error(run, rows)):
                return Measured(rows, most, "error")
    return Measured(rows, most, "all")


class Enough:
    """Whether errors, told one by one, have stopped falling."""

    def __init__(self) -> None:
        self._least = float("inf")
        self._idle = 0

    def __call__(self, error: float) -> bool:
        """Take the next error."""
        self._idle = 0 if error < GAIN * self._least else self._idle + 1
        self._least = min(self._least, error)
        return self._idle >= PATIENCE


def builder(run: Run, architecture: Architecture) -> Callable[[], VisionTransformer]:
    """A function that builds the standalone model; latency does not depend on its weights."""
    return partial(build, architecture, run.num_classes)


def build(architecture: Architecture, num_classes: int) -> VisionTransformer:
    """The standalone model with random weights."""
    return build_model(architecture, num_classes).eval()


def features(run: Run, rows: Sequence[Measurement]) -> Costs:
    """What the rows' networks cost, for predictors to learn from: as they were run.

    One whose tokens depend on the image was measured with as many as the row says.
    """
    networks = [Architecture.from_dict(row.architecture) for row in rows]
    costs = run.costs(run.genes(networks))
    features_BF = costs.features_BF.copy()
    for index, row in enumerate(rows):
        if row.tokens is not None:
            features_BF[index] = run.costs.traced(networks[index], np.array([row.tokens]))[1][0]
    return replace(costs, features_BF=features_BF)


def _error(run: Run, rows: Sequence[Measurement]) -> float:
    """Held-out relative error of the best predictor of the rows."""
    return held_out_error(rows, features(run, rows).features_BF, seed=run.config.seed)


def _failures(run: Run, profile: HardwareProfile) -> int:
    path = run.folder.measurements(profile.key())
    return len(MeasurementFile(path, profile.key()).failures())


def _left(seconds: float | None, spent_s: float) -> float | None:
    return None if seconds is None else max(seconds - spent_s, 0.0)
