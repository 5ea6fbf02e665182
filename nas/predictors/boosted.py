"""Additive prices, corrected by boosted trees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.predictors.family import FAMILIES, Family, Hyper, Regression
from nas.predictors.trend import additive_trend
from nas.runtimes.base import FloatArray

_PENALTY = 1e-3


@FAMILIES.register
class Boosted(Family):
    """Small boosted trees over the logarithm of measured / trend.

    Trees see thresholds (a cache that overflows, a kernel that changes its algorithm), which no
    smooth function does.
    """

    name = "boosted"
    summary = "additive prices, corrected by boosted trees"
    slow = True

    def grid(self) -> Sequence[Hyper]:
        return [{"trees": 100, "rate": 0.1}]

    def fit(
        self, features_BF: FloatArray, latency_ms_B: FloatArray, hyper: Hyper, seed: int
    ) -> Regression:
        from sklearn.ensemble import HistGradientBoostingRegressor

        trend = additive_trend(features_BF, latency_ms_B, _PENALTY)
        trees = HistGradientBoostingRegressor(
            max_iter=int(hyper["trees"]),
            learning_rate=hyper["rate"],
            max_leaf_nodes=4,
            min_samples_leaf=5,
            early_stopping=False,
            random_state=seed,
        )
        trees.fit(features_BF, np.log(latency_ms_B / trend(features_BF)))

        def predict(features: FloatArray) -> FloatArray:
            correction: FloatArray = trees.predict(features)
            return trend(features) * np.exp(correction)

        return predict
