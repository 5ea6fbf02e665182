"""How well one order agrees with another: Kendall's tau and Spearman's rho with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Agreement:
    """A rank correlation with its 95 % bootstrap interval; NaN where an order is constant.

    Attributes:
        value: in [−1, 1].
        low, high: percentiles 2.5 and 97.5 over resampled candidates.
    """

    value: float
    low: float
    high: float


def kendall(x: ArrayLike, y: ArrayLike, seed: int = 0) -> Agreement:
    """Kendall's tau-b of two columns ``(N,)``; pairs that tie in a column are no evidence."""
    sign_x_NN, sign_y_NN = _signs(x), _signs(y)
    # A resample that draws candidate i w_i times holds the pair (i, j) w_i · w_j times, and pairs
    # of a candidate with itself tie: tau is a quotient of quadratic forms in w.
    parts = sign_x_NN * sign_y_NN, sign_x_NN**2, sign_y_NN**2
    ones_1N = np.ones((1, len(sign_x_NN)))
    weights_RN = np.concatenate([ones_1N, _resampled(len(sign_x_NN), seed)])
    both_R, x_R, y_R = (((weights_RN @ part) * weights_RN).sum(axis=1) for part in parts)
    return _interval(both_R, x_R * y_R)


def spearman(x: ArrayLike, y: ArrayLike, seed: int = 0) -> Agreement:
    """Spearman's rho of two columns ``(N,)``; ties share their mean rank."""
    from scipy.stats import rankdata

    x_N, y_N = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    weights_RN = _resampled(len(x_N), seed).astype(np.int64)
    rows = [np.arange(len(x_N)), *(np.repeat(np.arange(len(x_N)), w) for w in weights_RN)]
    index_RN = np.stack(rows)
    a_RN, b_RN = (rankdata(column[index_RN], axis=1) for column in (x_N, y_N))
    a_RN, b_RN = (c - c.mean(axis=1, keepdims=True) for c in (a_RN, b_RN))
    return _interval((a_RN * b_RN).sum(axis=1), (a_RN**2).sum(axis=1) * (b_RN**2).sum(axis=1))


def _signs(column: ArrayLike) -> Floats:
    values_N = np.asarray(column, dtype=float)
    made: Floats = np.sign(values_N[:, None] - values_N[None])
    return made


def _resampled(count: int, seed: int) -> Floats:
    """How often each candidate is drawn, ``(R, N)``."""
    rng = np.random.default_rng(seed)
    made: Floats = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(float)
    return made


def _interval(covariance_R: Floats, variances_R: Floats) -> Agreement:
    """The first is the value itself, the others are resamples; constant resamples say nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found_R = covariance_R / np.sqrt(variances_R)
    if not np.isfinite(found_R[0]):
        return Agreement(np.nan, np.nan, np.nan)
    low, high = np.nanpercentile(found_R, [2.5, 97.5])
    return Agreement(float(found_R[0]), float(low), float(high))
