"""A Gaussian process over what a trend gets wrong."""

from __future__ import annotations

import numpy as np

from nas.predictors.family import Hyper, Regression
from nas.runtimes.base import FloatArray


def corrected(
    trend: Regression, features_BF: FloatArray, latency_ms_B: FloatArray, hyper: Hyper
) -> Regression:
    """``trend`` times the exponential of a Gaussian process over log(measured / trend).

    It corrects near what was measured and falls back to the trend elsewhere.

    Args:
        trend: features to latencies.
        features_BF: (B, F), not negative.
        latency_ms_B: (B,), positive.
        hyper: ``length`` in units of the typical distance between two networks (features
            logarithmic, standardised), and ``noise`` as a share of the residuals' variance.
    """
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    residual_B = np.log(latency_ms_B / trend(features_BF))
    spread = max(float(residual_B.std()), 1e-6)
    logs_BF = np.log1p(features_BF)
    mean_F, std_F = logs_BF.mean(axis=0), logs_BF.std(axis=0)
    # A constant feature tells nothing about distance; its deviation is rounded and may not be 0.
    varies_F = np.ptp(logs_BF, axis=0) > 0
    length = hyper["length"] * np.sqrt(max(1, varies_F.sum()))

    def standard(features: FloatArray) -> FloatArray:
        logs = np.log1p(features[:, varies_F])
        scaled: FloatArray = (logs - mean_F[varies_F]) / std_F[varies_F]
        return scaled

    # No optimiser: cross-validation chooses length and noise, which cannot overfit them.
    process = GaussianProcessRegressor(Matern(length, nu=2.5), alpha=hyper["noise"], optimizer=None)
    process.fit(standard(features_BF), residual_B / spread)

    def predict(features: FloatArray) -> FloatArray:
        correction: FloatArray = process.predict(standard(features))
        return trend(features) * np.exp(spread * correction)

    return predict
