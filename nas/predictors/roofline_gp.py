"""The roofline, corrected by a Gaussian process."""

from __future__ import annotations

from collections.abc import Sequence

from nas.predictors.family import FAMILIES, Family, Hyper, Regression
from nas.predictors.residual import corrected
from nas.predictors.roofline import roofline_trend
from nas.runtimes.base import FloatArray


@FAMILIES.register
class RooflineProcess(Family):
    """Five prices, and a Gaussian process over what they get wrong."""

    name = "roofline_gp"
    summary = "roofline, corrected by a Gaussian process"

    def grid(self) -> Sequence[Hyper]:
        pairs = ((3.0, 0.01), (1.0, 0.1))
        return [{"length": length, "noise": noise} for length, noise in pairs]

    def fit(
        self, features_BF: FloatArray, latency_ms_B: FloatArray, hyper: Hyper, seed: int
    ) -> Regression:
        trend = roofline_trend(features_BF, latency_ms_B)
        return corrected(trend, features_BF, latency_ms_B, hyper)
