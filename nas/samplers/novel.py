"""A mix-in for Optuna samplers that know nothing of architectures: legal, and nothing twice.

What the sampler proposes is repaired; where that is known, a neighbour of it is taken. Stands
before the Optuna class: ``class Legal(Novel, GPSampler)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler as Base
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from nas.proposing.history import History
    from search_spaces.automaton import IntArray
else:
    Base = object


class Novel(Base):
    """See the module.

    Attributes:
        history: of the study; set before the first proposal.
        rng: of neighbours and random members.
    """

    history: History
    rng: np.random.Generator
    _taken: list[IntArray]

    def attach(self, history: History, seed: int) -> None:
        """Say what is known; ``seed`` is apart from that of the Optuna sampler's own draws."""
        self.history, self.rng, self._taken = history, np.random.default_rng([seed, 2]), []

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """See ``Question.open_genes``."""
        return dict(self.history.question.open_genes(trial))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """What the Optuna class proposes, or a neighbour; at random where it proposes nothing."""
        if not search_space:
            return {}
        proposed = super().sample_relative(study, trial, search_space)  # type: ignore[safe-super]
        row = self._new(proposed)
        self._taken.append(row)
        params = self.history.question.space.params(row)
        return {name: params[name] for name in search_space}

    def _new(self, params: dict[str, Any]) -> IntArray:
        from nas.proposing.drawing import enlivened, fresh_rows, mutate
        from nas.proposing.filling import anywhere

        taken = np.stack(self._taken) if self._taken else None
        if not params:
            return np.asarray(
                fresh_rows(self.history, 1, anywhere(self.history, self.rng), taken)[0]
            )
        question = self.history.question
        fixed = {g.name: g.choices[0] for g in question.space.genes}
        asked = question.space.repair(np.array([question.row({**fixed, **params})]))[0]
        first = [asked]

        def draw(count: int) -> IntArray:
            if first:
                return first.pop()
            rows = enlivened(question.space, np.repeat(asked, count, axis=0), self.rng)
            return mutate(question.space, rows, self.rng, 1 / len(question.space.genes))

        return np.asarray(fresh_rows(self.history, 1, draw, taken)[0])
