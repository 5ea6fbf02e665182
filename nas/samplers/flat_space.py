"""A mix-in for Optuna samplers: the space is flat and never changes.

Optuna intersects the parameters of all trials to learn what it may sample jointly: 220,000
comparisons for 5,000 trials of 44 genes, and again for each new sampler. Every trial of ours has
every gene with the same choices, so any complete trial tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial


class FlatSpace:
    """Stands before the Optuna class: ``class Flat(FlatSpace, TPESampler)``."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All genes with a choice once a trial is complete; by name, as Optuna orders them."""
        from optuna.trial import TrialState

        for known in study.get_trials(deepcopy=False):
            if known.state == TrialState.COMPLETE:
                ordered = sorted(known.distributions.items())
                return {name: choices for name, choices in ordered if not choices.single()}
        return {}
