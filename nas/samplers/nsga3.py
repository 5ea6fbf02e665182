"""NSGA-III: as NSGA-II, spread along reference directions (Deb and Jain 2014)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.samplers.genetic import GeneticOptions, Legal, children, experimental
from nas.samplers.sampler import SAMPLERS
from search_spaces.errors import bad_value

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from nas.proposing.history import History


@dataclass(frozen=True, slots=True)
class Nsga3Options(GeneticOptions):
    """Options of NSGA-III.

    Attributes:
        dividing_parameter: parts an axis of the reference directions is divided into, at least 1.
    """

    dividing_parameter: int = 3

    def __post_init__(self) -> None:
        GeneticOptions.__post_init__(self)
        if self.dividing_parameter < 1:
            value = self.dividing_parameter
            raise bad_value("sampler.options.dividing_parameter", value, "1 or more")


@SAMPLERS.register
class Nsga3:
    """Registered as ``nsga3``: Optuna's NSGA-III with children that are legal architectures."""

    name = "nsga3"
    label = "NSGA-III"
    summary = "genetic search along reference directions; for four objectives and more"
    options = Nsga3Options

    def build(self, options: Nsga3Options, seed: int, history: History) -> BaseSampler:
        """See ``SamplerFactory.build``."""
        from optuna.samplers import NSGAIIISampler

        class Architectures(Legal, NSGAIIISampler):
            pass

        family = children(options, seed, history)
        with experimental():
            sampler = Architectures(
                population_size=options.population_size,
                dividing_parameter=options.dividing_parameter,
                child_generation_strategy=family,
                seed=seed,
            )
        sampler.family, sampler.history = family, history
        return sampler
