"""Which networks are worth measuring: half of them at random, half where least is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nas.measurement.scaling import LogScale
from nas.runtimes.base import FloatArray

_LENGTH = 3.0
_NOISE = 1e-2


def measuring_order(features_NF: FloatArray, first: Sequence[int], count: int) -> list[int]:
    """An order of candidates to measure: any beginning of it is a good choice of its size.

    Every second one is the candidate that a Gaussian process knows least about, given those before
    it: its posterior variance is largest there (Seo et al. 2000, IJCNN; "ALM"). That fills the
    space first and seeks its gaps later. The others are as they come, that is drawn at random, so
    that held-out errors, and the intervals made of them, are those of networks a search meets.

    Args:
        features_NF: (N, F) of the candidates, not negative, in random order.
        first: candidates to begin with.
        count: how many are wanted.

    Returns:
        Indices of at most ``count`` candidates, none twice.
    """
    covariance = _covariance(features_NF)
    chosen = list(dict.fromkeys(first))[:count]
    variance = _Variance(covariance)
    for index in chosen:
        variance.add(index)
    drawn = (index for index in range(len(features_NF)))
    while len(chosen) < min(count, len(features_NF)):
        taken = set(chosen)
        if len(chosen) % 2:
            index = variance.largest(taken)
        else:
            index = next(index for index in drawn if index not in taken)
        variance.add(index)
        chosen.append(index)
    return chosen


def _covariance(features_NF: FloatArray) -> FloatArray:
    """Matérn 5/2 between all candidates."""
    from sklearn.gaussian_process.kernels import Matern

    scale = LogScale(features_NF)
    found: FloatArray = Matern(scale.length(_LENGTH), nu=2.5)(scale(features_NF))
    return found


class _Variance:
    """Posterior variances, brought up to date one observation at a time (pivoted Cholesky)."""

    def __init__(self, covariance_NN: FloatArray) -> None:
        self._covariance = covariance_NN
        self._variance_N = np.diag(covariance_NN).copy()
        self._rows: list[FloatArray] = []

    def add(self, index: int) -> None:
        known = np.array([row[index] for row in self._rows])
        row_N = self._covariance[index].copy()
        for weight, earlier_N in zip(known, self._rows, strict=True):
            row_N -= weight * earlier_N
        row_N /= np.sqrt(self._variance_N[index] + _NOISE)
        self._rows.append(row_N)
        self._variance_N = np.maximum(self._variance_N - row_N**2, 0.0)

    def largest(self, taken: set[int]) -> int:
        left: npt.NDArray[np.float64] = self._variance_N.copy()
        left[list(taken)] = -1.0
        return int(left.argmax())
