"""The additive trend all families share: latency = overhead + sum of what each feature costs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from nas.predictors.family import Regression
from nas.runtimes.base import FloatArray

_FLOOR_MS = 1e-6
_KEPT = 256
_ROUNDS = 4
_CUT = 1.5
"""Deviations that count in full, in units of the usual one."""
_LEAST = 0.005
"""No measurement repeats better than this, however well the prices fit those they were made of."""


def additive_trend(features_BF: FloatArray, latency_ms_B: FloatArray, penalty: float) -> Regression:
    """Ridge regression without negative prices, of least relative error, led by no outlier.

    Work costs time, never saves it: prices >= 0 keep the trend monotone, so that it can be
    trusted beyond the measured networks, where a search will go. Rows are divided by their
    latency, as 5 % of a fast network matters as much as 5 % of a slow one. What deviates more than
    the others was disturbed, and weighs less (``trust``; Huber 1964, Ann. Math. Statist. 35:1, by
    iteratively reweighted least squares).

    Args:
        features_BF: (B, F), not negative.
        latency_ms_B: (B,), positive.
        penalty: weight of the squared prices, relative to the features' own scale.
    """
    scale_F = np.sqrt(np.mean(features_BF**2, axis=0))
    scale_F[scale_F == 0] = 1.0  # a feature no measured network has; its price becomes 0
    relative_BP = _with_constant(features_BF / scale_F) / latency_ms_B[:, None]
    price_P = _prices(relative_BP.shape, relative_BP.tobytes(), penalty)

    def predict(features: FloatArray) -> FloatArray:
        found: FloatArray = _with_constant(features / scale_F) @ price_P
        return np.maximum(found, _FLOOR_MS)

    return predict


def trust(deviation_B: FloatArray) -> FloatArray:
    """Weights (B,) in (0, 1] of relative deviations: 1, but less for those far off the usual."""
    usual = max(1.4826 * float(np.median(np.abs(deviation_B))), _LEAST)
    return np.minimum(1.0, _CUT * usual / np.maximum(np.abs(deviation_B), 1e-12))


@lru_cache(maxsize=_KEPT)
def _prices(shape: tuple[int, int], relative: bytes, penalty: float) -> FloatArray:
    """Prices (P,). Kept: cross-validation asks the same for every family that corrects a trend."""
    from scipy.optimize import nnls

    relative_BP = np.frombuffer(relative, dtype=np.float64).reshape(shape)
    shrink_P = np.sqrt(penalty * np.sum(relative_BP**2, axis=0))
    weight_B = np.ones(shape[0])
    for _ in range(_ROUNDS):
        root_B = np.sqrt(weight_B)
        system = np.concatenate([relative_BP * root_B[:, None], np.diag(shrink_P)])
        wanted = np.concatenate([root_B, np.zeros(shape[1])])
        price_P: FloatArray = nnls(system, wanted, maxiter=30 * shape[1])[0]
        weight_B = trust(relative_BP @ price_P - 1)
    price_P.flags.writeable = False
    return price_P


def _with_constant(features: FloatArray) -> FloatArray:
    return np.concatenate([np.ones((len(features), 1)), features], axis=1)
