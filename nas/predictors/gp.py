"""Additive prices, corrected by a Gaussian process."""

from __future__ import annotations

from collections.abc import Sequence

from nas.predictors.family import FAMILIES, Family, Hyper, Regression
from nas.predictors.residual import corrected
from nas.predictors.trend import additive_trend
from nas.runtimes.base import FloatArray

_PENALTY = 1e-3


@FAMILIES.register
class GaussianProcess(Family):
    """Prices of kernels, and a Gaussian process over what they get wrong."""

    name = "gp"
    summary = "additive prices, corrected by a Gaussian process"

    def grid(self) -> Sequence[Hyper]:
        pairs = ((3.0, 0.1), (1.0, 0.1), (1.0, 1.0))
        return [{"length": length, "noise": noise} for length, noise in pairs]

    def fit(
        self, features_BF: FloatArray, latency_ms_B: FloatArray, hyper: Hyper, seed: int
    ) -> Regression:
        trend = additive_trend(features_BF, latency_ms_B, _PENALTY)
        return corrected(trend, features_BF, latency_ms_B, hyper)
