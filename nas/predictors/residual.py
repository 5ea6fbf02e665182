"""A Gaussian process over what a trend gets wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nas.measurement.scaling import LogScale
from nas.predictors.family import Hyper, Regression
from nas.predictors.trend import trust
from nas.runtimes.base import FloatArray


def corrected(
    trend: Regression, features_BF: FloatArray, latency_ms_B: FloatArray, hyper: Hyper
) -> Corrected:
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
    length = scale.length(hyper["length"])
    # No optimiser: cross-validation chooses length and noise, which cannot overfit them.
    noise_B = hyper["noise"] / trust(residual_B)
    process = GaussianProcessRegressor(Matern(length, nu=2.5), alpha=noise_B, optimizer=None)
    process.fit(scale(features_BF), residual_B / spread)

    correction = Correction(scale, scale(features_BF), ((length, spread * process.alpha_),))
    return Corrected(trend, correction)


@dataclass(frozen=True, eq=False)
class Correction:
    """What Gaussian processes over the same networks add to the logarithm of a latency.

    Attributes:
        scale: of the features.
        known_BF: the networks' scaled features.
        weights: (length scale, weights (B,) of the networks) of each process.
    """

    scale: LogScale
    known_BF: FloatArray
    weights: tuple[tuple[float, FloatArray], ...]

    def __call__(self, features: FloatArray) -> FloatArray:
        """As scikit-learn's ``predict``, with distances by one product of matrices."""
        asked = self.scale(features)
        squares_BN = -2 * asked @ self.known_BF.T
        squares_BN += np.square(asked).sum(axis=1)[:, None] + self._known_squares_N
        np.maximum(squares_BN, 0, out=squares_BN)
        total: FloatArray = np.zeros(len(features))
        for length, weight_B in self.weights:
            distance = np.sqrt(squares_BN * (5 / length**2))
            alike = np.exp(-distance)
            alike *= 1 + distance * (1 + distance / 3)
            total += alike @ weight_B
        return total

    @cached_property
    def _known_squares_N(self) -> FloatArray:
        squares_N: FloatArray = np.square(self.known_BF).sum(axis=1)
        return squares_N


@dataclass(frozen=True, eq=False)
class Corrected:
    """A trend with its correction."""

    trend: Regression
    correction: Correction

    def __call__(self, features: FloatArray) -> FloatArray:
        found: FloatArray = self.trend(features) * np.exp(self.correction(features))
        return found


def mixed(corrections: Sequence[tuple[Correction, float]]) -> Correction:
    """The weighted sum of corrections that know the same networks: similarities are shared."""
    first, _ = corrections[0]
    by_length = dict[float, FloatArray]()
    for correction, weight in corrections:
        for length, weight_B in correction.weights:
            by_length[length] = by_length.get(length, 0.0) + weight * weight_B
    return Correction(first.scale, first.known_BF, tuple(by_length.items()))
