"""Launches and the roofline's time: five prices, for the first handful of measurements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.predictors.family import FAMILIES, Family, Hyper, Regression
from nas.predictors.trend import additive_trend
from nas.runtimes.base import FloatArray
from supernet.features import ROOFLINE

_PENALTY = 1e-4


def roofline_trend(features_BF: FloatArray, latency_ms_B: FloatArray) -> Regression:
    """Overhead, launches, the larger of computing and moving, and weights: one price each.

    How many MACs the machine does while it moves an element is found by mixing the columns of
    several balances (Williams et al. 2009, CACM 52:4).
    """
    trend = additive_trend(_columns(features_BF), latency_ms_B, _PENALTY)
    return lambda features: trend(_columns(features))


def _columns(features_BF: FloatArray) -> FloatArray:
    return np.concatenate([features_BF[:, : len(ROOFLINE)], features_BF[:, -1:]], axis=1)


@FAMILIES.register
class Roofline(Family):
    """Prices of launches and of the roofline's time."""

    name = "roofline"
    summary = "roofline: launches, and the larger of computing and moving"

    def grid(self) -> Sequence[Hyper]:
        return [{}]

    def fit(
        self, features_BF: FloatArray, latency_ms_B: FloatArray, hyper: Hyper, seed: int
    ) -> Regression:
        return roofline_trend(features_BF, latency_ms_B)
