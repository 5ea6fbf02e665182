"""A predictor of another device, adapted to this one by a handful of measurements.

Devices that run the same kernels order networks much alike; what differs most is speed, the cost of
a call, and the balance of computing and moving. So latency here is a multiple of what the other
device's predictor says, and a price for each of these few, corrected by a stiff Gaussian process
where cross-validation finds that it helps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.predictors.family import Family, Hyper, Regression
from nas.predictors.residual import corrected
from nas.predictors.trend import additive_trend
from nas.runtimes.base import FloatArray
from supernet.features import ROOFLINE

NAME = "transfer"
_PENALTY = 1e-6


class Transfer(Family):
    """Not registered: it needs to know what it adapts.

    Args:
        base: features (B, F) to latencies on the other device, ms.
    """

    name = NAME
    summary = "another device's predictor, adapted"

    def __init__(self, base: Regression) -> None:
        self._base = base

    def grid(self) -> Sequence[Hyper]:
        return [
            {"roofline": roofline, "length": length, "noise": 1e-1}
            for roofline in (0.0, 1.0)
            for length in (0.0, 10.0)
        ]

    def fit(
        self, features_BF: FloatArray, latency_ms_B: FloatArray, hyper: Hyper, seed: int
    ) -> Regression:
        def columns(features: FloatArray) -> FloatArray:
            known = self._base(features)[:, None]
            few = features[:, : len(ROOFLINE)] if hyper["roofline"] else known[:, :0]
            return np.concatenate([known, few], axis=1)

        scaled = additive_trend(columns(features_BF), latency_ms_B, _PENALTY)

        def trend(features: FloatArray) -> FloatArray:
            return scaled(columns(features))

        if hyper["length"] == 0:
            return trend
        return corrected(trend, features_BF, latency_ms_B, hyper)
