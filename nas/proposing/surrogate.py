"""A model of a paid metric, with its uncertainty: what finished trials tell about others."""

from __future__ import annotations

from typing import Any

import numpy as np

from nas.proposing.features import Groups
from nas.proposing.gaussian_process import GaussianProcess
from nas.runtimes.base import FloatArray

TREES = 100


class Surrogate:
    """An ensemble of a Gaussian process and extremely randomised trees.

    Costs are learned as the logarithm of their distance from the best known one: where the front
    is, small differences count, and a network that learned nothing must not bend the model.

    Args:
        groups: features of the known architectures.
        costs_N: what they cost (smaller is better).
    """

    def __init__(self, groups: Groups, costs_N: FloatArray) -> None:
        from sklearn.ensemble import ExtraTreesRegressor

        above_N = costs_N - costs_N.min()
        self._floor = float(costs_N.min())
        self._offset = max(0.3 * float(np.median(above_N)), 1e-9)
        warped_N = np.log(above_N + self._offset)
        self._process = GaussianProcess.fit(groups, warped_N)
        self._trees: Any = ExtraTreesRegressor(TREES, max_features=0.5, random_state=0)
        self._trees.fit(np.concatenate(groups, axis=1), warped_N)

    def quantiles(self, groups: Groups, standard_S: FloatArray) -> FloatArray:
        """Costs of B architectures, ``(B, S)``, at these standard normal deviates."""
        mean_B, std_B = self._process.predict(groups)
        other_B = self._trees.predict(np.concatenate(groups, axis=1))
        spread_B = np.sqrt(std_B**2 + (mean_B - other_B) ** 2 / 4)
        warped_BS = ((mean_B + other_B) / 2)[:, None] + spread_B[:, None] * standard_S
        costs_BS: FloatArray = np.exp(warped_BS) - self._offset + self._floor
        return costs_BS
