"""A Gaussian process over what a trend gets wrong."""

from __future__ import annotations

import numpy as np

from nas.measurement.scaling import LogScale
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
    scale = LogScale(features_BF)
    kernel = Matern(scale.length(hyper["length"]), nu=2.5)
    # No optimiser: cross-validation chooses length and noise, which cannot overfit them.
    process = GaussianProcessRegressor(kernel, alpha=hyper["noise"], optimizer=None)
    process.fit(scale(features_BF), residual_B / spread)

    def predict(features: FloatArray) -> FloatArray:
        correction: FloatArray = process.predict(scale(features))
        return trend(features) * np.exp(spread * correction)

    return predict
