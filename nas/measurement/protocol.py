"""The latency protocol: many models, interleaved, beside a reference that never changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nas.hardware.device import check_profile
from nas.hardware.machine import Machine
from nas.hardware.profile import HardwareProfile
from nas.measurement.block import Item, Opener, Session
from nas.measurement.file import MeasurementFile
from nas.measurement.records import Measurement
from nas.measurement.slot import Plan
from nas.runtimes.base import RUNTIMES, Runtime
from search_spaces.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

OnProgress = Callable[[int, int], None]

_PILOT = 4  # models of the first block under a time limit: they tell what one costs


def measure_models(
    items: Sequence[Item],
    profile: HardwareProfile,
    path: Path,
    *,
    seed: int = 0,
    plan: Plan | None = None,
    max_seconds: float | None = None,
    on_progress: OnProgress | None = None,
    level_ms: float | None = None,
    runtime: Runtime | None = None,
    calibration: Tensor | None = None,
    sessions: Opener | None = None,
    now_s: Callable[[], float] = time.monotonic,
) -> list[Measurement]:
    """Measure the models that ``path`` does not hold yet, appending block by block.

    In each block every model gets ``plan.rounds`` short slots, in a new random order each round,
    with the reference model beside every slot. A slow moment then touches many models a little
    and can be seen, instead of one model a lot.

    Args:
        items: architectures, each with a function that builds its module; equal ones count once.
        profile: where and how they run.
        path: JSONL file of this profile.
        seed: of the order.
        plan: how much is measured.
        max_seconds: stop before a block that would end later; the first block always runs.
        on_progress: called with (models done, models wanted) after each block.
        level_ms: ``reference_level_ms`` of the file to be comparable with; where ``path`` has rows
            already, theirs is kept.
        runtime: overrides the profile's runtime.
        calibration: training images (N, C, H, W), for runtimes that learn ranges from some.
        sessions: how a session is opened; None: in this process.
        now_s: the clock of ``max_seconds``.

    Returns:
        The measurements of ``items``, in their order; those the runtime cannot run and those the
        time did not suffice for are missing.

    Raises:
        UserError: the profile cannot be measured here; the file holds rows of another profile,
            processor or version; no model can be run.
    """
    if runtime is None and sessions is None:
        check_profile(profile)
    file = MeasurementFile(path, profile.key())
    unique = {architecture.digest(): (architecture, build) for architecture, build in items}
    measured = {row.digest: row for row in file.measurements()}
    skip = measured.keys() | {row.digest for row in file.failures()}
    pending = [item for digest, item in unique.items() if digest not in skip]
    if pending:
        chosen = runtime or RUNTIMES[profile.runtime]
        if calibration is not None:
            chosen = chosen.calibrated(calibration)
        opener = sessions or Session
        with opener(profile, chosen, plan or Plan(), seed + len(skip), level_ms) as session:
            known = list(measured.values())
            session.level_ms = _level_ms(file, known, session.machine) or level_ms
            budget = _Budget(max_seconds, now_s)
            _measure_pending(session, file, pending, len(unique), budget, on_progress)
        measured = {row.digest: row for row in file.measurements()}
    if unique and not any(digest in measured for digest in unique):
        failures = [row.reason for row in file.failures() if row.digest in unique]
        reason = failures[0] if failures else "the clock gives no valid times"
        raise UserError(f"hardware={profile.name!r}: no model could be measured: {reason}")
    return [measured[digest] for digest in unique if digest in measured]


class _Budget:
    """How many more models the time allows, judged by those that were measured."""

    def __init__(self, max_seconds: float | None, now_s: Callable[[], float]) -> None:
        self._max_seconds = max_seconds
        self._now_s = now_s
        self._started_s = now_s()

    def affordable(self, measured: int) -> float:
        if self._max_seconds is None:
            return float("inf")
        if measured == 0:
            return _PILOT
        spent_s = self._now_s() - self._started_s
        return (self._max_seconds - spent_s) / max(spent_s / measured, 1e-9)


def _measure_pending(
    session: Session,
    file: MeasurementFile,
    pending: list[Item],
    total: int,
    budget: _Budget,
    on_progress: OnProgress | None,
) -> None:
    measured = 0
    while pending:
        size = int(min(session.plan.block, budget.affordable(measured)))
        if size < 1:
            return
        rows, taken = session.measure(pending[:size])
        file.append(rows)
        pending, measured = pending[taken:], measured + taken
        if on_progress is not None:
            on_progress(total - len(pending), total)


def _level_ms(file: MeasurementFile, known: list[Measurement], machine: Machine) -> float | None:
    """The drift level a file began with.

    Raises:
        UserError: the file was begun on another machine.
    """
    if not known:
        return None
    was = Machine(**known[0].machine)
    if not machine.same_as(was):
        raise UserError(
            f"{file.path}: measured on {was.processor} with {was.versions}, this is "
            f"{machine.processor} with {machine.versions}; measure into another file"
        )
    return known[0].reference_level_ms
