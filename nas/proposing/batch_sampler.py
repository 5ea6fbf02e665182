"""An Optuna sampler that decides on a whole batch when the first trial of it is asked."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from nas.proposing.history import History


class BatchSampler(BaseSampler):
    """What samplers of whole batches share; trials that were enqueued are left alone.

    Args:
        history: of the study it is used with, up to the batch.
        independent: answers for what is no gene of the space.
    """

    def __init__(self, history: History, independent: BaseSampler) -> None:
        self._history = history
        self._independent = independent
        self._batch: list[Mapping[str, Any]] = []

    @abstractmethod
    def propose(self, study: Study, trial: FrozenTrial) -> Sequence[Mapping[str, Any]]:
        """The parameters of the next batch, at least one."""

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
        """The next proposal of the batch."""
        if not search_space:
            return {}
        if not self._batch:
            self._batch = list(self.propose(study, trial))
        return dict(self._batch.pop(0))

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """What is no gene of the space."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)
