"""From a rule that proposes gene rows to an Optuna sampler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from nas.proposing.history import History
from search_spaces.automaton import IntArray

Rule = Callable[[History, int, np.random.Generator], IntArray]
"""(what is known, how many, randomness) → legal canonical gene rows, that many."""


class RowSampler(BaseSampler):
    """Asks its rule for a whole batch when the first trial of it is asked.

    Args:
        rule: proposes.
        history: of the study it is used with, up to the batch.
        seed: of the batch.
    """

    def __init__(self, rule: Rule, history: History, seed: int) -> None:
        self._rule = rule
        self._history = history
        self._rng = np.random.default_rng(seed)
        self._independent = RandomSampler(seed=seed)
        self._rows: IntArray | None = None
        self._next = 0

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Every gene, from the first trial on; none for a trial that was enqueued."""
        if "fixed_params" in trial.system_attrs:
            return {}
        return dict(self._history.question.distributions)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The next row of the batch."""
        if not search_space:
            return {}
        count = self._history.question.batch_size
        if self._rows is None or self._next == len(self._rows):
            self._rows, self._next = self._rule(self._history, count, self._rng), 0
        row = self._rows[self._next]
        self._next += 1
        return dict(self._history.question.space.params(row))

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """What is no gene of the space, uniformly."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)
