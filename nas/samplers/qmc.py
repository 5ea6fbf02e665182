"""Quasi-random search: a scrambled Sobol sequence over the genes (Bergstra and Bengio, 2012).

It leaves smaller holes than random draws do. One sequence serves the whole study: the seed of its
scrambling is that of the first batch, which is kept among the study's attributes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nas.samplers.genetic import experimental
from nas.samplers.novel import Novel
from nas.samplers.sampler import SAMPLERS

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from nas.proposing.history import History

SEED_KEY = "formfinder:qmc_seed"


@dataclass(frozen=True, slots=True)
class QmcOptions:
    """Options of quasi-random search.

    Attributes:
        scramble: draw the sequence from the seed; else it is the same for all seeds.
    """

    scramble: bool = True


@SAMPLERS.register
class Qmc:
    """Registered as ``qmc``."""

    name = "qmc"
    label = "quasi-random"
    summary = "a Sobol sequence over the genes: random search with smaller holes"
    options = QmcOptions

    def build(self, options: QmcOptions, seed: int, history: History) -> BaseSampler:
        """See ``SamplerFactory.build``."""
        from optuna.samplers import QMCSampler

        class OneSequence(QMCSampler):
            """Goes on with the sequence that the study began with."""

            def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
                attrs = study._storage.get_study_system_attrs(study._study_id)
                if SEED_KEY not in attrs:
                    study._storage.set_study_system_attr(study._study_id, SEED_KEY, self._seed)
                self._seed = attrs.get(SEED_KEY, self._seed)
                return super().sample_relative(study, trial, search_space)

        class Legal(Novel, OneSequence):
            pass

        with experimental():
            sampler = Legal(scramble=options.scramble, seed=seed, warn_independent_sampling=False)
        sampler.attach(history, seed)
        return sampler
