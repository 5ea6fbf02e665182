"""Additive prices, corrected by a Gaussian process."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.predictors.family import FAMILIES, Family, Hyper, Regression
from nas.predictors.trend import additive_trend
from nas.runtimes.base import FloatArray

_PENALTY = 1e-3


@FAMILIES.register
class GaussianProcess(Family):
    """A Gaussian process over the logarithm of measured / trend.

    It corrects near what was measured and falls back to the trend elsewhere. The length scale is
    in units of the typical distance between two networks (features logarithmic, standardised).
    """

    name = "gp"
    summary = "additive prices, corrected by a Gaussian process"

    def grid(self) -> Sequence[Hyper]:
        return [
            {"length": length, "noise": noise}
            for length in (10.0, 3.0, 1.0)
            for noise in (1e-1, 1e-2, 1e-3)
        ]

    def fit(
        self, features_BF: FloatArray, latency_ms_B: FloatArray, hyper: Hyper, seed: int
    ) -> Regression:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import Matern

        trend = additive_trend(features_BF, latency_ms_B, _PENALTY)
        residual_B = np.log(latency_ms_B / trend(features_BF))
        spread = max(float(residual_B.std()), 1e-6)
        logs_BF = np.log1p(features_BF)
        mean_F, std_F = logs_BF.mean(axis=0), logs_BF.std(axis=0)
        varies_F = std_F > 0  # a constant feature tells nothing about distance
        length = hyper["length"] * np.sqrt(max(1, varies_F.sum()))

        def standard(features: FloatArray) -> FloatArray:
            logs = np.log1p(features[:, varies_F])
            scaled: FloatArray = (logs - mean_F[varies_F]) / std_F[varies_F]
            return scaled

        # No optimiser: cross-validation chooses length and noise, which cannot overfit them.
        process = GaussianProcessRegressor(
            Matern(length, nu=2.5), alpha=hyper["noise"], optimizer=None
        )
        process.fit(standard(features_BF), residual_B / spread)

        def predict(features: FloatArray) -> FloatArray:
            correction: FloatArray = process.predict(standard(features))
            return trend(features) * np.exp(spread * correction)

        return predict
