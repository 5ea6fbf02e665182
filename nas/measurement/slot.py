"""One slot: a short, uninterrupted series of runs of one model, repeated while it is noisy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from nas.runtimes.base import Prepared


class MeasurementError(RuntimeError):
    """A clock gave figures that cannot be durations, again and again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured. The defaults suit models of 0.05 to 100 ms.

    Attributes:
        rounds: slots per model, spread over time; an even number, as the figures of even and of
            odd rounds are compared to learn how well the measurement repeats.
        warmup_runs: runs before the first slot of a model; three are too few.
        rewarm_runs: runs before each later slot, in which caches have forgotten the model.
        slot_ms: time a slot aims at.
        min_runs: fewest runs of a slot.
        max_runs: most runs of a slot.
        extra_rounds: further rounds of a model whose rounds disagree; an even number.
        max_relative_error: standard error of the rounds' mean / mean above which they disagree.
        reference_runs: runs of the reference model beside each slot.
        max_relative_iqr: a slot with a larger IQR / median is noisy and is repeated.
        attempts: slots taken before the least noisy one is kept.
        block: most models held in memory at a time; after each block its rows are written.
        block_mb: weights in 10^6 bytes from which on a block takes no further model.
    """

    rounds: int = 6
    warmup_runs: int = 10
    rewarm_runs: int = 5
    slot_ms: float = 12.0
    min_runs: int = 8
    max_runs: int = 40
    extra_rounds: int = 6
    max_relative_error: float = 0.01
    reference_runs: int = 10
    max_relative_iqr: float = 0.10
    attempts: int = 3
    block: int = 16
    block_mb: float = 512.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Raw statistics of the quietest series, in milliseconds.

    Attributes:
        median_ms: median.
        min_ms: fastest run of all series.
        p90_ms: 90th percentile.
        iqr_ms: distance of the quartiles.
        n: runs.
        attempts: series taken; 1 when the first was quiet enough.
    """

    median_ms: float
    min_ms: float
    p90_ms: float
    iqr_ms: float
    n: int
    attempts: int

    @property
    def relative_iqr(self) -> float:
        """IQR / median: the noise of the slot."""
        return self.iqr_ms / self.median_ms

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Slot:
        """The inverse of ``to_dict``."""
        return cls(**data)


def summarise(durations_ms: list[float], attempts: int) -> Slot:
    """The statistics of one series."""
    lower, median, upper, p90 = np.percentile(durations_ms, [25, 50, 75, 90]).tolist()
    return Slot(
        median_ms=median,
        min_ms=min(durations_ms),
        p90_ms=p90,
        iqr_ms=upper - lower,
        n=len(durations_ms),
        attempts=attempts,
    )


def time_slot(prepared: Prepared, plan: Plan, warmup_runs: int, runs: int | None = None) -> Slot:
    """Warm up, then time; repeat while noisy and keep the quietest series.

    Args:
        prepared: the model to time.
        plan: limits.
        warmup_runs: runs whose durations are dropped.
        runs: length of a series; by default as many as fill ``plan.slot_ms``.

    Raises:
        MeasurementError: every series holds durations that are not positive numbers, as a clock
            that jumps gives them.
    """
    # No runs: the device warms up by itself, and a call there is too dear to drop its figures.
    warm_ms = prepared.durations_ms(warmup_runs) if warmup_runs else [0.0]
    runs = runs or _runs_for(float(np.median(warm_ms)), plan)
    best: Slot | None = None
    fastest_ms = math.inf
    for attempt in range(1, plan.attempts + 1):
        durations_ms = prepared.durations_ms(runs)
        if not all(math.isfinite(value) and value > 0 for value in durations_ms):
            continue
        slot = summarise(durations_ms, attempt)
        fastest_ms = min(fastest_ms, slot.min_ms)
        if best is None or slot.relative_iqr < best.relative_iqr:
            best = slot
        if slot.relative_iqr <= plan.max_relative_iqr:
            break
    if best is None:
        raise MeasurementError(f"{plan.attempts} series of {runs} runs gave no positive durations")
    return replace(best, min_ms=fastest_ms)


def steady(rounds: Sequence[float], plan: Plan) -> bool:
    """Whether a model's rounds agree: large models are disturbed for longer than a slot lasts."""
    if len(rounds) < 2:
        return True
    values = np.array(rounds)
    error = float(values.std(ddof=1) / (math.sqrt(len(values)) * values.mean()))
    return error <= plan.max_relative_error


def _runs_for(run_ms: float, plan: Plan) -> int:
    if not run_ms > 0:  # the clock jumped during the warm-up, or there was none
        return plan.max_runs
    return int(np.clip(math.ceil(plan.slot_ms / run_ms), plan.min_runs, plan.max_runs))
