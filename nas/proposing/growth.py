"""As-ViT's growth as a rule: seeds, and steps upwards by sums of ranks."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from nas.proposing.descent import Steps, wanted_by
from nas.proposing.filling import filled
from nas.proposing.history import History
from nas.proposing.moves import distinct, grown
from nas.proposing.worth import price_of
from nas.runtimes.base import FloatArray
from search_spaces.automaton import IntArray


def grow(
    history: History, count: int, rng: np.random.Generator, seeds: int, width: int | None
) -> IntArray:
    """A batch: seeds until there are enough, then what the growth of the best of them lacks."""
    sown = _sown(history)
    if len(sown) < seeds:
        rows = small_rows(history, rng, 8 * max(seeds, count))
        rows = rows[history.unseen(rows)][: min(count, seeds - len(sown))]
        if len(rows):
            return filled(history, count, rows, rng)
    order = np.argsort(ranks_of(history, sown), kind="stable")
    starts = history.genes_NG[sown[order]]

    def choose(row_G: IntArray, loss: float, rows: IntArray, trials: IntArray) -> int:
        return int(np.argmin(ranks_of(history, trials)))

    def unpaid(row_G: IntArray, rows: IntArray) -> int:
        return int(np.argmin(price_of(history.question, rows)))

    steps = Steps(lambda row: grown(history.question.space, row), choose, unpaid, width or count)
    return filled(history, count, wanted_by(history, starts, steps, count, rng), rng)


def small_rows(history: History, rng: np.random.Generator, count: int) -> IntArray:
    """Members of the smallest depth and width; what is no size is drawn, heads and MLPs least."""
    space = history.question.space
    least = [space.extreme(largest=False, patch_size=p) for p in space.spec.patch_size]
    ordered_G = np.array([gene.ordered for gene in space.genes])
    drawn = np.stack([rng.integers(len(gene.choices), size=count) for gene in space.genes], axis=1)
    drawn[:, ordered_G] = 0
    return distinct(space.repair(np.concatenate([np.stack(least), drawn]))[0])


def ranks_of(history: History, trials_K: IntArray) -> FloatArray:
    """Sum of the trials' ranks over the paid objectives, ``(K,)``; the lowest is best."""
    objectives = history.question.objectives
    paid = [i for i, objective in enumerate(objectives) if not objective.free] or [0]
    costs_KM = history.costs_NM[trials_K][:, paid]
    total: FloatArray = rankdata(costs_KM, axis=0).sum(axis=1) if len(trials_K) else np.zeros(0)
    return total


def _sown(history: History) -> IntArray:
    """The first trials of the known seeds: those of least depth, width, heads and MLPs."""
    space = history.question.space
    ordered_G = np.array([gene.ordered for gene in space.genes])
    small_N = (history.genes_NG[:, ordered_G] == 0).all(axis=1)
    first = history.distinct()
    kept: IntArray = first[small_N[first] & history.paid_N[first]]
    return kept
