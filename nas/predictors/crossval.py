"""Cross-validation: which family, and how wrong it is on networks it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nas.predictors.family import Family, Hyper
from nas.runtimes.base import FloatArray

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Choice:
    """A family with hyper-parameters.

    Attributes:
        family: the family.
        hyper: one of its grid.
        mape: its pooled held-out error among the networks it was chosen on.
    """

    family: Family
    hyper: Hyper
    mape: float


def folds(count: int, seed: int) -> npt.NDArray[np.int64]:
    """(B,): the fold each network is held out in; sizes differ by one at most."""
    fold_B = np.empty(count, dtype=np.int64)
    fold_B[np.random.default_rng(seed).permutation(count)] = np.arange(count) % FOLDS
    return fold_B


def choose(
    families: Sequence[Family], features_BF: FloatArray, latency_ms_B: FloatArray, seed: int
) -> Choice:
    """The family and hyper-parameters of least pooled held-out relative error; ties: the first."""
    fold_B = folds(len(latency_ms_B), seed)
    best: Choice | None = None
    for family in families:
        for hyper in family.grid():
            found_B = np.empty_like(latency_ms_B)
            for fold in range(FOLDS):
                out_B = fold_B == fold
                fitted = family.fit(features_BF[~out_B], latency_ms_B[~out_B], hyper, seed)
                found_B[out_B] = fitted(features_BF[out_B])
            mape = float(np.mean(np.abs(found_B - latency_ms_B) / latency_ms_B))
            if best is None or mape < best.mape:
                best = Choice(family, hyper, mape)
    assert best is not None, "no predictor family is registered"
    return best


def held_out(
    families: Sequence[Family], features_BF: FloatArray, latency_ms_B: FloatArray, seed: int
) -> FloatArray:
    """Predictions (B,) in ms for each network by a predictor that has not seen it.

    The choice is made anew within each training part (nested), so that being chosen among many
    does not make a family look better than it is.
    """
    fold_B = folds(len(latency_ms_B), seed)
    found_B = np.empty_like(latency_ms_B)
    for fold in range(FOLDS):
        out_B = fold_B == fold
        seen_BF, seen_B = features_BF[~out_B], latency_ms_B[~out_B]
        best = choose(families, seen_BF, seen_B, seed + 1 + fold)
        found_B[out_B] = best.family.fit(seen_BF, seen_B, best.hyper, seed)(features_BF[out_B])
    return found_B
