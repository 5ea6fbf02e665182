"""The finished trials of a study as arrays."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nas.margins import NAME, decoded
from nas.pareto import to_costs
from nas.proposing.features import Features
from nas.proposing.question import Columns, Question
from nas.runtimes.base import FloatArray
from search_spaces.automaton import BoolArray, IntArray

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from nas.proposing.gaussian_process import GaussianProcess
    from nas.proposing.surrogate import Surrogate

ENOUGH = 48
"""Trials whose margins make a better model than their accuracies: with fewer, weights of single
genes are guesses, and the search of a large space began worse."""


class History:
    """What a study knows, by trial and by distinct architecture.

    It is made of nothing but the study's finished trials; that it is kept from batch to batch only
    saves reading them again.

    Args:
        question: the study's.

    Attributes:
        genes_NG: canonical gene rows of the complete trials, in order.
        costs_NM: their values as costs (smaller is better), as Optuna was told.
        violation_N: sum of their relative violations of limits; 0: feasible.
        paid_N: whether the paid metrics are known, or were booked with their worst.
        numbers: the trials' numbers.
        margins: of validation images, by the trial's place, where it told them (``nas.margins``).
        kernels: of models of margins, by how many of the first trials they were fitted to.
        shapes: models of the first trials by (objective, how many trials, groups of features), kept
            for later ones.
    """

    def __init__(self, question: Question) -> None:
        self.question = question
        self.genes_NG: IntArray = np.zeros((0, len(question.space.genes)), dtype=np.int64)
        self.costs_NM: FloatArray = np.zeros((0, len(question.objectives)))
        self.violation_N: FloatArray = np.zeros(0)
        self.paid_N: BoolArray = np.zeros(0, dtype=bool)
        self.numbers: list[int] = []
        self.margins: dict[int, FloatArray] = {}
        self.shapes: dict[tuple[int, int, int], Surrogate] = {}
        self.kernels: dict[int, GaussianProcess] = {}
        self._columns: dict[str, FloatArray] = {}
        self._read = 0
        self._seen: set[bytes] = set()

    def __len__(self) -> int:
        return len(self.genes_NG)

    def refresh(self, study: Study) -> None:
        """Take in the trials that have finished since the last call.

        Trials finish in the order of their numbers, so the first unfinished one ends the reading.
        """
        trials = study.get_trials(deepcopy=False)
        fresh: list[FrozenTrial] = []
        while self._read < len(trials) and trials[self._read].state.is_finished():
            trial = trials[self._read]
            if trial.params.keys() >= self.question.distributions.keys():
                fresh.append(trial)
            self._read += 1
        if fresh:
            self._take(fresh)

    def _take(self, trials: list[FrozenTrial]) -> None:
        from optuna.trial import TrialState

        asked = np.array([self.question.row(trial.params) for trial in trials], dtype=np.int64)
        rows = self.question.space.repair(asked)[0]
        self._seen.update(row_keys(rows))
        done = [i for i, trial in enumerate(trials) if trial.state == TrialState.COMPLETE]
        if not done:
            return
        values, first = [trials[i].values for i in done], len(self)
        self.genes_NG = np.concatenate([self.genes_NG, rows[done]])
        costs = to_costs(values, self.question.directions)
        self.costs_NM = np.concatenate([self.costs_NM, costs])
        broken = np.array([_violation(trials[i]) for i in done])
        self.violation_N = np.concatenate([self.violation_N, broken])
        paid = np.array([bool(trials[i].user_attrs.get("paid", True)) for i in done])
        self.paid_N = np.concatenate([self.paid_N, paid])
        self.numbers += [trials[i].number for i in done]
        told = {place: _margins(trials[i]) for place, i in enumerate(done, first)}
        self.margins |= {place: margins for place, margins in told.items() if margins is not None}

    def columns(self, indices: IntArray) -> Columns:
        """Free metrics of some trials; those of each trial are asked for once."""
        known = len(next(iter(self._columns.values()), ()))
        if known < len(self):
            fresh = self.question.columns(self.genes_NG[known:])
            held = self._columns or {name: values[:0] for name, values in fresh.items()}
            self._columns = {name: np.concatenate([held[name], fresh[name]]) for name in fresh}
        return {name: values[indices] for name, values in self._columns.items()}

    def unseen(self, genes_BG: IntArray, also: Collection[bytes] = ()) -> BoolArray:
        """Which canonical rows no finished trial, complete or failed, had; doubles count once.

        Args:
            genes_BG: rows.
            also: keys of others that count as seen.
        """
        met: set[bytes] = set()
        fresh = np.zeros(len(genes_BG), dtype=bool)
        for index, key in enumerate(row_keys(genes_BG)):
            fresh[index] = not (key in self._seen or key in met or key in also)
            met.add(key)
        return fresh

    @cached_property
    def features(self) -> Features:
        """Numbers for models, made once for a study."""
        return Features(self.question)

    @cached_property
    def gene_features(self) -> Features:
        """The same with a group for each gene, for models that know enough to weigh them."""
        return Features(self.question, by_gene=True)

    def distinct(self) -> IntArray:
        """Indices of the first trial of each architecture."""
        first = dict[bytes, int]()
        for index, key in enumerate(row_keys(self.genes_NG)):
            first.setdefault(key, index)
        return np.fromiter(first.values(), dtype=np.int64, count=len(first))

    def answered(self, indices: IntArray) -> IntArray:
        """Places in ``indices`` whose margins are known; none unless most are, and enough."""
        sizes = [len(self.margins.get(i, ())) for i in indices]
        size = next(filter(None, sizes), -1)
        places: IntArray = np.flatnonzero([size == of_this for of_this in sizes])
        return places if len(places) >= max(ENOUGH, len(indices) / 2) else places[:0]

    def margins_of(self, indices: IntArray) -> FloatArray:
        """``(N, I)``, of trials whose margins are known."""
        return np.stack([self.margins[i] for i in indices])

    def known(self) -> IntArray:
        """Indices of distinct trials that were paid for."""
        distinct = self.distinct()
        finite = np.isfinite(self.costs_NM[distinct]).all(axis=1)
        known: IntArray = distinct[self.paid_N[distinct] & finite]
        return known


def row_keys(genes_BG: IntArray) -> list[bytes]:
    """What tells canonical rows apart, one for each."""
    if not len(genes_BG):
        return []
    data, width = genes_BG.astype(np.int16).tobytes(), 2 * genes_BG.shape[1]
    return [data[start : start + width] for start in range(0, len(data), width)]


def _margins(trial: FrozenTrial) -> FloatArray | None:
    return decoded(trial.user_attrs.get("notes", {}).get(NAME))


def _violation(trial: FrozenTrial) -> float:
    return sum(max(float(value), 0.0) for value in trial.constraints.values())
