"""A Gaussian process over what a trend gets wrong."""

from __future__ import annotations

import math

import numpy as np

from nas.measurement.scaling import LogScale
from nas.predictors.family import Hyper, Regression
from nas.predictors.trend import trust
from nas.runtimes.base import FloatArray


def corrected(
    trend: Regression, features_BF: FloatArray, latency_ms_B: FloatArray, hyper: Hyper
) -> Regression:
    """``trend`` times the exponential of a Gaussian process over log(measured / trend).

    It corrects near what was measured and falls back to the trend elsewhere. What the trend holds
    for disturbed is held for noisier here, too.

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
    noise_B = hyper["noise"] / trust(residual_B)
    process = GaussianProcessRegressor(kernel, alpha=noise_B, optimizer=None)
    process.fit(scale(features_BF), residual_B / spread)

    known_BF = scale(features_BF) * (math.sqrt(5) / kernel.length_scale)
    weight_B = spread * process.alpha_

    def predict(features: FloatArray) -> FloatArray:
        # As ``process.predict``, in half the time: distances by one product of matrices.
        asked = scale(features) * (math.sqrt(5) / kernel.length_scale)
        squares = (asked**2).sum(axis=1)[:, None] + (known_BF**2).sum(axis=1)
        distance = np.sqrt(np.maximum(squares - 2 * asked @ known_BF.T, 0))
        alike = (1 + distance + distance**2 / 3) * np.exp(-distance)
        correction: FloatArray = np.exp(alike @ weight_B)
        return trend(features) * correction

    return predict
