"""Additive look-up: every feature has a price in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence

from nas.predictors.family import FAMILIES, Family, Hyper, Regression
from nas.predictors.trend import additive_trend
from nas.runtimes.base import FloatArray


@FAMILIES.register
class Linear(Family):
    """Prices of kernels, not negative."""

    name = "linear"
    summary = "additive prices of kernels"

    def grid(self) -> Sequence[Hyper]:
        return [{"penalty": penalty} for penalty in (1e-3, 1e-4)]

    def fit(
        self, features_BF: FloatArray, latency_ms_B: FloatArray, hyper: Hyper, seed: int
    ) -> Regression:
        return additive_trend(features_BF, latency_ms_B, hyper["penalty"])
