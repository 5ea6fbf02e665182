"""Features as a Gaussian process wants them: logarithmic, of one scale."""

from __future__ import annotations

import numpy as np

from nas.runtimes.base import FloatArray


class LogScale:
    """Logarithmic features of mean 0 and deviation 1 over the networks it was made from.

    Args:
        features_BF: (B, F), not negative. Columns that do not vary tell nothing of distances and
            are left out.
    """

    def __init__(self, features_BF: FloatArray) -> None:
        logs_BF = np.log1p(features_BF)
        # A deviation is rounded, and so may not be 0 where nothing varies.
        self._varies_F = np.ptp(logs_BF, axis=0) > 0
        self._mean_F = logs_BF.mean(axis=0)[self._varies_F]
        self._deviation_F = logs_BF.std(axis=0)[self._varies_F]

    def __call__(self, features_BF: FloatArray) -> FloatArray:
        """(B, columns that vary)."""
        logs_BF = np.log1p(features_BF[:, self._varies_F])
        scaled: FloatArray = (logs_BF - self._mean_F) / self._deviation_F
        return scaled

    def length(self, relative: float) -> float:
        """A length scale in units of the typical distance between two networks."""
        return float(relative * np.sqrt(max(1, self._varies_F.sum())))
