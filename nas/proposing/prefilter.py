"""Proposals that a proxy likes least are dropped before accuracy is paid for.

The proxy stands in for what is paid, beside the free objectives: who is dropped is behind others
in a non-dominated sort. By the proxy alone a search for small networks would lose all of them, for
most proxies grow with size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.proposing.batch_sampler import BatchSampler
from nas.proposing.history import History
from nas.proposing.ranking import best_first
from nas.proxies import PROXIES


def asked_for(batch_size: int, keep: float) -> int:
    """How many proposals have to be made for ``batch_size`` of them to be a share of ``keep``."""
    return math.ceil(round(batch_size / keep, 9))


class Prefiltered(BatchSampler):
    """Asks another sampler for more than a batch, and proposes the best with a proxy in place of
    what is paid.

    The order of what is kept stays.

    Args:
        inner: proposes.
        history: of the study; its question's batch is as large as what ``inner`` is asked for.
        proxy: name.
        kept: proposals of a batch.
    """

    def __init__(self, inner: BaseSampler, history: History, proxy: str, kept: int) -> None:
        super().__init__(history, inner)
        self._inner = inner
        self._proxy = proxy
        self._kept = kept

    def propose(self, study: Study, trial: FrozenTrial) -> list[dict[str, Any]]:
        """See ``BatchSampler``."""
        question = self._history.question
        genes = question.distributions
        asked = [self._asked(study, trial, genes) for _ in range(question.batch_size)]
        return self._best(asked)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """See Optuna."""
        self._inner.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """See Optuna."""
        self._inner.after_trial(study, trial, state, values)

    def _asked(
        self, study: Study, trial: FrozenTrial, genes: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        relative = self._inner.infer_relative_search_space(study, trial)
        params = self._inner.sample_relative(study, trial, relative)
        for name, choices in genes.items():
            if choices.single() and name not in params:  # Optuna asks nobody for these
                params[name] = choices.to_external_repr(0)
            elif name not in params:
                params[name] = self._inner.sample_independent(study, trial, name, choices)
        return params

    def _best(self, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        question = self._history.question
        parameters = np.array([question.row(params) for params in asked], dtype=np.int64)
        rows_BG = question.space.repair(parameters)[0]
        columns = question.columns(rows_BG)
        sign = -1.0 if PROXIES[self._proxy].direction == "max" else 1.0
        costs = [sign * question.scored([self._proxy], rows_BG)[self._proxy]]
        for metric in question.objectives:
            if metric.free and metric.name != self._proxy:
                costs.append((-1.0 if metric.direction == "max" else 1.0) * columns[metric.name])
        order = best_first(np.stack(costs, axis=1), question.free_violation(columns))
        return [asked[index] for index in sorted(order[: self._kept])]
