"""Several families together: a weighted mean of what they say, in logarithms.

Families err differently, so a mean of those that did well on held-out networks does better than
the best of them. Weights are those of least held-out error, none negative, of sum 1 (stacking:
Breiman 1996, Machine Learning 24:49, section 3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from nas.predictors.family import Family, Hyper, Regression
from nas.predictors.residual import Corrected, Correction, mixed
from nas.predictors.trend import trust
from nas.runtimes.base import FloatArray

NAME = "blend"
MOST = 3
"""Members of a blend, as each takes its time in every prediction."""
_PENALTY = 0.1
_TOGETHER = 1e3


class Blend(Family):
    """Not registered: its hyper-parameters are the weights of others, by their ``label``.

    Args:
        member: a name to its family.
    """

    name = NAME
    summary = "several families together"

    def __init__(self, member: Callable[[str], Family]) -> None:
        self._member = member

    def grid(self) -> Sequence[Hyper]:
        """None: weights are found, not tried."""
        return []

    def fit(
        self, features_BF: FloatArray, latency_ms_B: FloatArray, hyper: Hyper, seed: int
    ) -> Regression:
        trends, corrections = list[tuple[Regression, float]](), list[tuple[Correction, float]]()
        for written, weight in hyper.items():
            name, own = parsed(written)
            found = self._member(name).fit(features_BF, latency_ms_B, own, seed)
            if isinstance(found, Corrected):
                corrections.append((found.correction, weight))
                found = found.trend
            trends.append((found, weight))
        correction = mixed(corrections) if corrections else None

        def predict(features: FloatArray) -> FloatArray:
            total = np.zeros(len(features)) if correction is None else correction(features)
            for trend, weight in trends:
                total += weight * np.log(trend(features))
            return np.exp(total)

        return predict


def label(family: str, hyper: Hyper) -> str:
    """A family with hyper-parameters in one word each: ``gp length=3.0 noise=0.1``."""
    return " ".join([family, *(f"{key}={float(value)!r}" for key, value in hyper.items())])


def parsed(written: str) -> tuple[str, dict[str, float]]:
    """The inverse of ``label``."""
    name, *pairs = written.split(" ")
    return name, {key: float(value) for key, _, value in (pair.partition("=") for pair in pairs)}


def stacked(found_CB: FloatArray, latency_ms_B: FloatArray) -> FloatArray:
    """Weights (C,) of C choices from their held-out predictions of B networks.

    Equal weights are what they are drawn to, since errors of a hundred networks cannot tell
    alike choices apart. At most ``MOST`` are not 0.
    """
    error_CB = np.log(found_CB / latency_ms_B)
    weight_C = _least_squares(error_CB)
    kept = np.sort(np.argsort(-weight_C, kind="stable")[:MOST])
    few_C = np.zeros_like(weight_C)
    few_C[kept] = _least_squares(error_CB[kept])
    return few_C


def together(found_CB: FloatArray, weight_C: FloatArray) -> FloatArray:
    """Predictions (B,) of a blend of C choices."""
    mixed: FloatArray = np.exp(weight_C @ np.log(found_CB))
    return mixed


def _least_squares(error_CB: FloatArray) -> FloatArray:
    """min |w · error|² + penalty · mean square · |w|², w >= 0 of sum 1, outliers weighing less."""
    from scipy.optimize import nnls

    count = len(error_CB)
    best_B = error_CB[np.argmin(np.abs(error_CB).mean(axis=1))]
    seen_CB = error_CB * np.sqrt(trust(best_B))
    usual = max(float(np.sqrt(np.mean(seen_CB**2))), 1e-9)
    # Rows of one system; the last one, much heavier than the others, holds the sum.
    system = np.concatenate(
        [
            seen_CB.T / (usual * math.sqrt(seen_CB.shape[1])),
            math.sqrt(_PENALTY) * np.eye(count),
            np.full((1, count), _TOGETHER),
        ]
    )
    wanted = np.zeros(len(system))
    wanted[-1] = _TOGETHER
    found_C = nnls(system, wanted, maxiter=30 * count)[0]
    weight_C: FloatArray = found_C / found_C.sum()
    return weight_C
