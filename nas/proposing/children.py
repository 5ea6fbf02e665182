"""Children of a genetic sampler's parents, by operators that know architectures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.proposing.drawing import cross, fresh_rows, mutate
from nas.proposing.history import History
from nas.proposing.ranking import fronts
from search_spaces.automaton import IntArray

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from nas.samplers.genetic import GeneticOptions


class Children:
    """What Optuna calls a ``child_generation_strategy``: parents in, one child's parameters out.

    Parents are drawn by binary tournaments. A child is legal and, while there are any, an
    architecture that the study has not seen and this batch has not proposed.

    Args:
        history: of the study.
        rng: of everything that is drawn.
        options: how often genes change and parts are swapped.
    """

    def __init__(self, history: History, rng: np.random.Generator, options: GeneticOptions) -> None:
        self._history = history
        self._rng = rng
        self._rate = options.mutation_prob or 1 / len(history.question.space.genes)
        self._options = options
        self._made: list[IntArray] = []

    def __call__(
        self,
        study: Study,
        search_space: Mapping[str, Any],
        parent_population: Sequence[FrozenTrial],
    ) -> dict[str, Any]:
        """One child; only genes of ``search_space``, which are those with a choice."""
        place = {number: index for index, number in enumerate(self._history.numbers)}
        indices = np.array([place[trial.number] for trial in parent_population])
        parents = self._history.genes_NG[indices]
        rank_N = fronts(self._history.costs_NM[indices], self._history.violation_N[indices])
        return self._child(lambda n: self._draw(parents, rank_N, n), search_space)

    def without_parents(self, search_space: Mapping[str, Any]) -> dict[str, Any]:
        """One of the first generation: at random."""
        space = self._history.question.space
        return self._child(lambda n: space.sample_genes(self._rng, n), search_space)

    def _child(
        self, draw: Callable[[int], IntArray], search_space: Mapping[str, Any]
    ) -> dict[str, Any]:
        taken = np.stack(self._made) if self._made else None
        (row,) = fresh_rows(self._history, 1, draw, taken)
        self._made.append(row)
        params = self._history.question.space.params(row)
        return {name: params[name] for name in search_space}

    def _draw(self, parents_PG: IntArray, rank_P: IntArray, count: int) -> IntArray:
        first, second = self._winners(rank_P, count), self._winners(rank_P, count)
        space, rng = self._history.question.space, self._rng
        crossed = rng.random(count) < self._options.crossover_prob
        rows = parents_PG[first]
        swap = self._options.swapping_prob
        rows[crossed] = cross(space, rows[crossed], parents_PG[second][crossed], rng, swap)
        return rows if self._options.mutation_prob == 0 else mutate(space, rows, rng, self._rate)

    def _winners(self, rank_P: IntArray, count: int) -> IntArray:
        pairs = self._rng.integers(len(rank_P), size=(count, 2))
        better = rank_P[pairs[:, 1]] < rank_P[pairs[:, 0]]
        winners: IntArray = np.where(better, pairs[:, 1], pairs[:, 0])
        return winners
