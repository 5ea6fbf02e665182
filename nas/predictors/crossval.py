"""Cross-validation: which families, and how wrong they are on networks they have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nas.predictors.blend import stacked, together
from nas.predictors.family import Family, Hyper
from nas.runtimes.base import FloatArray

FOLDS = 10
"""What is left out makes the others' predictor worse than the one that will be used, and intervals
too wide: with a fifth left out, those of 90 % held 90 to 93 % of seven profiles' networks, with a
tenth 89 to 92 % (31 random splits each)."""
QUICK_FOLDS = 5
EARNED = 0.05
"""By this share the families that predict slowly have to lower the held-out error. Over 20 random
splits of ten profiles that costs 0.0003 of tau in the mean."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A family with hyper-parameters.

    Attributes:
        family: the family.
        hyper: one of its grid.
    """

    family: Family
    hyper: Hyper


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """Held-out predictions of C choices for B networks.

    Attributes:
        choices: C families with hyper-parameters, the simplest first.
        found_CB: (C, B) predictions in ms by predictors that have not seen the network.
        latency_ms_B: (B,) the truth.
        fold_B: (B,) the fold each was held out in.
    """

    choices: tuple[Choice, ...]
    found_CB: FloatArray
    latency_ms_B: FloatArray
    fold_B: npt.NDArray[np.int64]

    def weights(self) -> FloatArray:
        """Weights (C,) of the choices, most of them 0."""
        return self._weights(np.ones(len(self.latency_ms_B), dtype=bool))

    def held_out_ms(self) -> FloatArray:
        """Predictions (B,) in ms for each network by predictors that have not seen it.

        The weights for a fold are those of the other folds. So no network has a say in which
        families predict it, and being chosen among many does not make a family look better than
        it is.
        """
        found_B = np.empty_like(self.latency_ms_B)
        for fold in np.unique(self.fold_B):
            out_B = self.fold_B == fold
            found_B[out_B] = together(self.found_CB[:, out_B], self._weights(~out_B))
        return found_B

    def _weights(self, among_B: npt.NDArray[np.bool_]) -> FloatArray:
        """Those of some of the networks."""
        found_CB, true_ms_B = self.found_CB[:, among_B], self.latency_ms_B[among_B]
        all_C = stacked(found_CB, true_ms_B)
        quick_C = np.array([not choice.family.slow for choice in self.choices])
        if quick_C.all() or not quick_C.any():
            return all_C
        few_C = np.zeros_like(all_C)
        few_C[quick_C] = stacked(found_CB[quick_C], true_ms_B)

        def error(weight_C: FloatArray) -> float:
            return float(np.abs(np.log(together(found_CB, weight_C) / true_ms_B)).mean())

        return all_C if error(all_C) < (1 - EARNED) * error(few_C) else few_C


def cross_validate(
    families: Sequence[Family],
    features_BF: FloatArray,
    latency_ms_B: FloatArray,
    seed: int,
    parts: int = FOLDS,
) -> CrossValidation:
    """Predict each network by every choice, fitted without the network's fold."""
    assert families, "no predictor family is registered"
    fold_B = folds(len(latency_ms_B), seed, parts)
    choices: list[Choice] = []
    found: list[FloatArray] = []
    for family in families:
        for hyper in family.grid():
            found_B = np.empty_like(latency_ms_B)
            for fold in np.unique(fold_B):
                out_B = fold_B == fold
                fitted = family.fit(features_BF[~out_B], latency_ms_B[~out_B], hyper, seed)
                found_B[out_B] = fitted(features_BF[out_B])
            choices.append(Choice(family, hyper))
            found.append(found_B)
    return CrossValidation(tuple(choices), np.stack(found), latency_ms_B, fold_B)


def folds(count: int, seed: int, parts: int = FOLDS) -> npt.NDArray[np.int64]:
    """(B,): the fold each network is held out in; sizes differ by one at most."""
    fold_B = np.empty(count, dtype=np.int64)
    fold_B[np.random.default_rng(seed).permutation(count)] = np.arange(count) % parts
    return fold_B
