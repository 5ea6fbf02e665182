"""A mix-in for Optuna's genetic samplers: remember between two trials what cannot have changed.

Optuna counts all trials of a study for each proposal to learn its generation, and goes through
them again for the parents: most of the cost of a proposal in a study of thousands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.samplers._ga import BaseGASampler as Base
    from optuna.study import Study
    from optuna.trial import FrozenTrial
else:
    Base = object


class Generations(Base):
    """Stands before the Optuna class: ``class Fast(Generations, NSGAIISampler)``."""

    _generation: int | None = None
    _parents: tuple[int, list[FrozenTrial]] | None = None
    _asked: int | None = None

    def get_trial_generation(self, study: Study, trial: FrozenTrial) -> int:
        """As Optuna's: until a trial is told, every trial is of the same generation."""
        if self._generation is None:
            self._generation = super().get_trial_generation(study, trial)
        else:
            key = self._get_generation_key()
            study._storage.set_trial_system_attr(trial._trial_id, key, self._generation)
        return self._generation

    def get_parent_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        """As Optuna's: the first call may choose the parents, later ones look them up."""
        if self._parents is not None and self._parents[0] == generation:
            return list(self._parents[1])
        parents = super().get_parent_population(study, generation)
        if self._asked == generation:  # looked up: in another order than when they were chosen
            self._parents = (generation, list(parents))
        self._asked = generation
        return parents

    def after_trial(self, study: Study, trial: FrozenTrial, state: Any, values: Any) -> None:
        """A finished trial may end a generation."""
        self._generation = None
        super().after_trial(study, trial, state, values)
