"""Latency predictors on networks they have not seen, beside measuring those a second time.

    uv run python benchmarks/latency_predictor.py FOLDER [--spaces colour32 ...] [--runtimes ...]

For each space and runtime: at most ``--subnets`` networks are measured and learned from; the
``--held-out`` others, drawn at random too, are measured twice. The table tells how well the
predictor and the second measurement tell the first one (MAPE, Kendall tau), and how many held-out
networks lie in the 90 % intervals; the curve tells how the error falls with the number of
measurements. Measurements are kept in FOLDER, and a second start goes on with them. ``--fronts``
names finished runs, whose verified members are predicted and measured too. With two runtimes, the
first's predictor is adapted to the second by ``ADAPTED`` measurements, beside learning from those
alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from spaces import packaged

from nas.front import Front
from nas.hardware.profile import HardwareConfig, HardwareProfile
from nas.measurement.file import MeasurementFile
from nas.measurement.protocol import measure_models
from nas.measurement.records import Measurement
from nas.measurement.repeatability import Agreement, agreement
from nas.predictors.fit import fit_predictor
from nas.predictors.predictor import LatencyPredictor
from search_spaces.architecture import Architecture
from search_spaces.space import SearchSpace
from supernet.costs import SpaceCosts
from supernet.extract import build_model

SPACES = {"colour32": 32, "deit_tiny": 224, "pyramid": 64}
RUNTIMES = ("torch_eager", "onnxruntime")
CURVE = (20, 30, 40, 60, 80, 100)
CLASSES = 10
ADAPTED = 10


@dataclass(frozen=True)
class Case:
    """One space on one profile, and where its measurements lie."""

    space: SearchSpace
    costs: SpaceCosts
    profile: HardwareProfile
    folder: Path

    def measure(self, networks: Sequence[Architecture], part: str, seed: int) -> list[Measurement]:
        """Measure what the part's file does not hold yet."""
        path = self.folder / f"{self.profile.key()}.{part}.jsonl"
        items = [(each, partial(build_model, each, CLASSES)) for each in networks]
        return measure_models(items, self.profile, path, seed=seed)

    def features(self, rows: Sequence[Measurement]) -> np.ndarray:
        """(B, F) of what was measured."""
        return self.costs(self.genes(rows)).features_BF

    def genes(self, rows: Sequence[Measurement]) -> np.ndarray:
        """(B, G) of what was measured."""
        found = [Architecture.from_dict(row.architecture) for row in rows]
        return np.stack([self.space.encode(each) for each in found])

    def fit(self, rows: Sequence[Measurement]) -> LatencyPredictor:
        """A predictor of the rows."""
        return fit_predictor(rows, self.features(rows), self.costs.feature_names)


@dataclass(frozen=True)
class Result:
    """What one case showed."""

    family: str
    found: Agreement
    repeat: Agreement
    inside: int
    curve: tuple[tuple[int, Agreement], ...]


def drawn(space: SearchSpace, count: int, seed: int) -> list[Architecture]:
    """Distinct random networks."""
    rng, found = np.random.default_rng(seed), dict[str, Architecture]()
    while len(found) < count:
        each = space.sample(rng)
        found.setdefault(each.digest(), each)
    return list(found.values())


def judge(case: Case, subnets: int, held_out: int) -> Result:
    """Measure and compare."""
    unseen = drawn(case.space, held_out, seed=1)
    seen = {each.digest() for each in unseen}
    learned = [
        each for each in drawn(case.space, subnets + held_out, 0) if each.digest() not in seen
    ]
    first = case.measure(unseen, "held_out", 1)
    rows = case.measure(learned[:subnets], "learned", 2)
    again = {row.digest: row for row in case.measure(unseen, "held_out_again", 3)}
    first = [row for row in first if row.digest in again]
    features_BF = case.features(first)
    curve = []
    for count in sorted({min(count, len(rows)) for count in CURVE}):
        predictor = case.fit(rows[:count])
        true_ms_B = np.array([predictor.comparable_ms(row) for row in first])
        guess = predictor.predict(features_BF)
        curve.append((count, agreement(guess.mean_ms_B, true_ms_B)))
    second_ms_B = np.array([predictor.comparable_ms(again[row.digest]) for row in first])
    inside = (guess.low_ms_B <= true_ms_B) & (true_ms_B <= guess.high_ms_B)
    return Result(
        family=predictor.data.family,
        found=curve[-1][1],
        repeat=agreement(second_ms_B, true_ms_B),
        inside=int(inside.sum()),
        curve=tuple(curve),
    )


def adapted(source: Case, target: Case) -> tuple[Agreement, Agreement]:
    """How well ``ADAPTED`` measurements do with the source's predictor, and without."""
    path = "{}.learned.jsonl".format
    there, here = (
        MeasurementFile(c.folder / path(c.profile.key()), c.profile.key()).measurements()
        for c in (source, target)
    )
    key = target.profile.key()
    unseen = MeasurementFile(target.folder / f"{key}.held_out.jsonl", key).measurements()
    few, names = here[:ADAPTED], target.costs.feature_names
    found = []
    for base in (source.fit(there), None):
        predictor = fit_predictor(few, target.features(few), names, base=base)
        true_ms_B = np.array([predictor.comparable_ms(row) for row in unseen])
        found.append(agreement(predictor.mean_ms(target.features(unseen)), true_ms_B))
    return found[0], found[1]


def main() -> None:
    """Print the table and the curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where measurements are kept")
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=list(SPACES))
    parser.add_argument("--runtimes", nargs="+", default=list(RUNTIMES))
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--subnets", type=int, default=100)
    parser.add_argument("--held-out", type=int, default=40)
    parser.add_argument("--fronts", nargs="*", type=Path, default=[], help="finished runs")
    options = parser.parse_args()
    inside: dict[str, list[int]] = {runtime: [0, 0] for runtime in options.runtimes}
    print(f"{'space':10} {'runtime':12} {'family':8}  MAPE  (repeat)    tau  (repeat)  in 90 %")
    for name in options.spaces:
        space = packaged(name, SPACES[name])
        costs = SpaceCosts(space, CLASSES)
        cases: list[Case] = []
        for runtime in options.runtimes:
            config = HardwareConfig(runtime=runtime, precision=options.precision)
            profile = HardwareProfile.of("cpu", config, space.spec.image_size, 3)
            case = Case(space, costs, profile, options.folder / name)
            cases.append(case)
            got = judge(case, options.subnets, options.held_out)
            print(
                f"{name:10} {runtime:12} {got.family:8} {got.found.mape:5.1%} "
                f"({got.repeat.mape:5.1%})  {got.found.kendall_tau:6.3f} "
                f"({got.repeat.kendall_tau:6.3f})  {got.inside} of {got.found.n}",
                flush=True,
            )
            inside[runtime][0] += got.inside
            inside[runtime][1] += got.found.n
            points = [f"{n}: {each.mape:.1%} {each.kendall_tau:.3f}" for n, each in got.curve]
            print(f"{'':10} measured: MAPE tau  " + "   ".join(points), flush=True)
        if len(cases) == 2:
            base, alone = adapted(*cases)
            print(
                f"{'':10} {cases[0].profile.runtime} adapted to {cases[1].profile.runtime} by "
                f"{ADAPTED}: {base.mape:.1%} {base.kendall_tau:.3f}, without: {alone.mape:.1%} "
                f"{alone.kendall_tau:.3f}",
                flush=True,
            )
    for runtime, (count, total) in inside.items():
        print(f"{runtime}: {count} of {total} in the 90 % intervals ({count / total:.1%})")
    for folder in options.fronts:
        front = Front.load(folder / "front.json")
        error = Agreement.from_dict(front.front_error)
        print(
            f"front of {folder.name}, {front.profile['runtime']}: MAPE {error.mape:.1%}, "
            f"tau {error.kendall_tau:.3f}, {error.n} members"
        )


if __name__ == "__main__":
    main()
