"""How well a measurement repeats: no predictor can be asked for more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nas.measurement.records import Measurement
from nas.runtimes.base import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How well one series of latencies tells another.

    Attributes:
        mape: mean of |a - b| / b.
        spearman: rank correlation.
        kendall_tau: tau-b: pairs in the same order minus pairs in the other, over all pairs.
        n: models compared.
    """

    mape: float
    spearman: float
    kendall_tau: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Agreement:
        """The inverse of ``to_dict``."""
        return cls(**data)


def agreement(found_B: FloatArray, true_B: FloatArray) -> Agreement:
    """Compare ``found_B`` with ``true_B``, both (B,) and positive.

    Rank correlations of fewer than two models, or of equal values only, are 0: nothing is ranked.
    """
    from scipy.stats import kendalltau, spearmanr

    ranked = len(true_B) > 1 and np.ptp(found_B) > 0 and np.ptp(true_B) > 0
    return Agreement(
        mape=float(np.mean(np.abs(found_B - true_B) / true_B)),
        spearman=float(spearmanr(found_B, true_B).statistic) if ranked else 0.0,
        kendall_tau=float(kendalltau(found_B, true_B).statistic) if ranked else 0.0,
        n=len(true_B),
    )


def repeatability(measurements: Sequence[Measurement], statistic: str = "latency") -> Agreement:
    """Even rounds against odd rounds: each half is a measurement of its own.

    Each half has half of the slots, so the whole measurement repeats a little better than this.

    Args:
        measurements: of one profile, with at least two rounds each.
        statistic: ``latency`` (medians) or ``floor`` (minima).
    """
    rows = [row for row in measurements if len(row.slots) > 1]
    even_B = np.array([row.half_ms(0, statistic) for row in rows])
    odd_B = np.array([row.half_ms(1, statistic) for row in rows])
    return agreement(even_B, odd_B)


@dataclass(frozen=True, slots=True)
class Target:
    """What a predictor learns.

    Attributes:
        latency_ms_B: (B,) in the scale of the reported medians.
        statistic: ``latency`` or ``floor``, whichever repeats better.
        scale: what floors are multiplied by: the median of latency / floor; 1 for ``latency``.
        repeat: repeatability of the statistic.
    """

    latency_ms_B: FloatArray
    statistic: str
    scale: float
    repeat: Agreement


def steady_ms(measurement: Measurement, statistic: str, scale: float) -> float:
    """A measurement as predictors learn it, in the scale of the reported medians."""
    if statistic == "floor":
        return measurement.floor_ms * scale
    return measurement.latency_ms


def training_target(measurements: Sequence[Measurement]) -> Target:
    """The steadier of two statistics, so that a predictor learns the model and not the noise.

    On a busy machine minima repeat two to three times better than medians; on a quiet one both
    are nearly alike. Minima are scaled to the medians, as the median is what is reported and
    limited.
    """
    latency_B = np.array([row.latency_ms for row in measurements])
    floor_B = np.array([row.floor_ms for row in measurements])
    by_latency = repeatability(measurements, "latency")
    by_floor = repeatability(measurements, "floor")
    if by_latency.mape <= by_floor.mape:
        return Target(latency_B, "latency", 1.0, by_latency)
    scale = float(np.median(latency_B / floor_B))
    return Target(floor_B * scale, "floor", scale, by_floor)
