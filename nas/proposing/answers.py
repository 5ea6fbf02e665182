"""A model of accuracy made of how surely each image is answered."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nas.proposing.features import Groups
from nas.proposing.gaussian_process import GaussianProcess
from nas.proposing.surrogate import most_telling
from nas.runtimes.base import FloatArray

Floats = npt.NDArray[Any]
MIXTURES = 8  # sums over the images whose likelihood shapes the kernel
NEAR = 0.5  # the share of the networks that the spread is learned from
LOGISTIC = 1.702
"""The logistic function of this times z is the normal distribution's within 0.0095 (Haley 1952)."""
CERTAIN = 30.0
LEAST = 0.05  # of an image's error, in the deviations that the process expects


class AnswerSurrogate:
    """Gaussian processes of the margins of all images, with one kernel.

    The accuracy expected is the share of margins that are expected above 0.

    An accuracy is hundreds of answers, of which few differ between good networks. An image's margin
    tells how near it was to the other answer, so that what is right by luck is told from what is
    right for certain, and hyper-parameters are learned from hundreds of values an evaluation
    instead of one. How wrong the sum may be follows from the images that may fall either way,
    scaled by what leaving one network out shows of the better half of them.

    Args:
        groups: features of the N known architectures.
        costs_N: their accuracies as costs (minus the accuracy).
        margins_NI: margins of I images.
        shape: of ``shaped``; its hyper-parameters hold.
    """

    def __init__(
        self,
        groups: Groups,
        costs_N: FloatArray,
        margins_NI: FloatArray,
        shape: GaussianProcess,
    ) -> None:
        kept = most_telling(costs_N)
        costs_N = costs_N[kept]
        self._process = shape.told(tuple(group[kept] for group in groups), margins_NI[kept])
        mean_NI, std_N, error_I = self._process.left_out()
        self._error_I = np.maximum(error_I, LEAST) * self._process.scale_R
        right_N, luck_N = self._right(mean_NI, std_N)
        missed_N = -costs_N - right_N
        near = costs_N <= np.quantile(costs_N, NEAR)
        self._offset = float(missed_N[near].mean())
        luck = float(np.square(luck_N[near]).mean())
        self._spread = float(missed_N[near].std()) / np.sqrt(luck)

    @staticmethod
    def shaped(
        groups: Groups,
        costs_N: FloatArray,
        margins_NI: FloatArray,
        start: FloatArray | None = None,
    ) -> GaussianProcess:
        """A process with the likeliest hyper-parameters for these margins, looked for from
        ``start`` on.

        The likelihood is that of a few random sums over the images: they tell as much, at a
        fraction of the time that all images take.
        """
        kept = most_telling(costs_N)
        groups, margins_NI = tuple(group[kept] for group in groups), margins_NI[kept]
        std_I = margins_NI.std(axis=0)
        scaled_NI = (margins_NI - margins_NI.mean(axis=0)) / np.where(std_I > 1e-3, std_I, np.inf)
        weights_IR = np.random.default_rng(0).normal(size=(len(std_I), MIXTURES))
        return GaussianProcess.fit(groups, scaled_NI @ weights_IR, start)

    def costs(self, groups: Groups, standard_S: FloatArray) -> FloatArray:
        """See ``Surrogate``."""
        mean_BI, std_B = self._process.predict_all(groups)
        right_B, luck_B = self._right(mean_BI, std_B)
        spread_BS = self._spread * luck_B[:, None] * standard_S
        costs_BS: FloatArray = spread_BS - (self._offset + right_B)[:, None]
        return costs_BS

    def _right(self, mean_BI: Floats, std_B: Floats) -> tuple[FloatArray, FloatArray]:
        """Expected accuracy, and its standard deviation if images were independent, ``(B,)``."""
        odds_BI = mean_BI / self._error_I.astype(mean_BI.dtype)
        odds_BI *= (-LOGISTIC / std_B)[:, None]
        wrong_to_right_BI = np.exp(np.minimum(odds_BI, CERTAIN, out=odds_BI), out=odds_BI)
        sure_BI = np.reciprocal(1 + wrong_to_right_BI)
        images = sure_BI.shape[1]
        right_B = sure_BI.sum(axis=1, dtype=float)
        luck_B = right_B - np.einsum("bi,bi->b", sure_BI, sure_BI)
        return right_B / images, np.sqrt(np.maximum(luck_B, 0) / images**2 + 1e-7)
