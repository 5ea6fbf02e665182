"""A model of a paid metric, with its uncertainty: what finished trials tell about others."""

from __future__ import annotations

import numpy as np

from nas.proposing.features import Groups
from nas.proposing.gaussian_process import GaussianProcess
from nas.runtimes.base import FloatArray
from search_spaces.automaton import IntArray

MOST_POINTS = 300
OFFSETS = (0.3, 1.0, 3.0, 10.0)


class Surrogate:
    """A Gaussian process over features of architectures.

    Costs are learned as the logarithm of their distance from a little below the best known one:
    where the front is small differences count, and a network that learned nothing must not bend
    the model. How much is a little, in medians of the distance, is chosen by the likelihood of the
    costs themselves (a warped process, Snelson et al. 2003): much where they are noisy.
    (Averaged with extremely randomised trees it ranked random candidates a little better, and led
    to smaller hypervolumes, more slowly.)

    Args:
        groups: features of the known architectures.
        costs_N: what they cost (smaller is better).
        shaped: hyper-parameters and warp are taken from that one.
    """

    def __init__(
        self, groups: Groups, costs_N: FloatArray, shaped: Surrogate | None = None
    ) -> None:
        kept = most_telling(costs_N)
        self._floor = float(costs_N.min())
        above_N = costs_N[kept] - self._floor
        points = tuple(group[kept] for group in groups)
        median = max(float(np.median(above_N)), 1e-9)
        if shaped is None:
            self._factor, self._process = _warped(points, above_N / median)
        else:
            self._factor = shaped._factor
            warped_N = np.log(above_N / median + self._factor)
            self._process = shaped._process.told(points, warped_N[:, None])
        self._median = median

    def costs(self, groups: Groups, standard_S: FloatArray) -> FloatArray:
        """Costs of B architectures, ``(B, S)``, this many standard deviations from the mean."""
        mean_B, std_B = self._process.predict(groups)
        warped_BS = mean_B[:, None] + std_B[:, None] * standard_S
        above_BS: FloatArray = self._median * (np.exp(warped_BS) - self._factor)
        return above_BS + self._floor


def _warped(groups: Groups, above_N: FloatArray) -> tuple[float, GaussianProcess]:
    """The likeliest offset, and the process of the logarithms with it.

    Each offset's search begins where that of the one before ended: they are alike.
    """
    found = list[tuple[float, float, GaussianProcess]]()
    for offset in OFFSETS:
        warped_N = np.log(above_N + offset)
        start = found[-1][2].theta if found else None
        process = GaussianProcess.fit(groups, warped_N[:, None], start)
        found.append((process.evidence - float(warped_N.sum()), offset, process))
    _, offset, process = max(found, key=lambda fit: fit[0])
    return offset, process


def most_telling(costs_N: FloatArray) -> IntArray:
    """Which points are learned from: all, or the better half of the most there may be and a spread
    of the rest. The time to fit grows with the cube of their number."""
    order: IntArray = np.argsort(costs_N, kind="stable")
    if len(order) <= MOST_POINTS:
        return order
    best, rest = order[: MOST_POINTS // 2], order[MOST_POINTS // 2 :]
    spread = np.linspace(0, len(rest) - 1, MOST_POINTS - len(best)).round().astype(int)
    return np.concatenate([best, rest[spread]])
