"""NSGA-II: keep the non-dominated, cross and mutate them (Deb et al. 2002)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.samplers.genetic import GeneticOptions, Legal, children, experimental
from nas.samplers.sampler import SAMPLERS

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from nas.proposing.history import History


@dataclass(frozen=True, slots=True)
class Nsga2Options(GeneticOptions):
    """Options of NSGA-II."""


@SAMPLERS.register
class Nsga2:
    """Registered as ``nsga2``: Optuna's NSGA-II with children that are legal architectures."""

    name = "nsga2"
    label = "NSGA-II"
    summary = "genetic search with non-dominated sorting; for some hundred evaluations and more"
    options = Nsga2Options

    def build(self, options: Nsga2Options, seed: int, history: History) -> BaseSampler:
        """See ``SamplerFactory.build``."""
        from optuna.samplers import NSGAIISampler

        class Architectures(Legal, NSGAIISampler):
            pass

        family = children(options, seed, history)
        with experimental():
            sampler = Architectures(
                population_size=options.population_size,
                child_generation_strategy=family,
                seed=seed,
            )
        sampler.family, sampler.history = family, history
        return sampler
