"""From a rule that proposes gene rows to an Optuna sampler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.samplers import RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from nas.proposing.batch_sampler import BatchSampler
from nas.proposing.history import History
from search_spaces.automaton import IntArray

Rule = Callable[[History, int, np.random.Generator], IntArray]
"""(what is known, how many, randomness) → legal canonical gene rows, that many."""


class RowSampler(BatchSampler):
    """Asks its rule for a batch of rows.

    Args:
        rule: proposes.
        history: of the study it is used with, up to the batch.
        seed: of the batch.
    """

    def __init__(self, rule: Rule, history: History, seed: int) -> None:
        super().__init__(history, RandomSampler(seed=seed))
        self._rule = rule
        self._rng = np.random.default_rng(seed)

    def propose(self, study: Study, trial: FrozenTrial) -> Sequence[Mapping[str, Any]]:
        """See ``BatchSampler``."""
        question = self._history.question
        rows = self._rule(self._history, question.batch_size, self._rng)
        return [question.space.params(row) for row in rows]
