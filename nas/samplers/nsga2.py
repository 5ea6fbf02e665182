"""NSGA-II: keep the non-dominated, cross and mutate them (Deb et al. 2002)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.samplers.flat_space import FlatSpace
from nas.samplers.generations import Generations
from nas.samplers.sampler import SAMPLERS
from search_spaces.errors import bad_value

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


@dataclass(frozen=True, slots=True)
class Nsga2Options:
    """Options of NSGA-II.

    Attributes:
        population_size: trials of a generation, at least 2.
        mutation_prob: that a gene is drawn anew, [0, 1]; None: one gene of a child on average.
        crossover_prob: that a child has two parents rather than one, [0, 1].
        swapping_prob: that a gene comes from the second parent, [0, 1].
    """

    population_size: int = 50
    mutation_prob: float | None = None
    crossover_prob: float = 0.9
    swapping_prob: float = 0.5

    def __post_init__(self) -> None:
        if self.population_size < 2:
            raise bad_value("sampler.options.population_size", self.population_size, "2 or more")
        for name in ("mutation_prob", "crossover_prob", "swapping_prob"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise bad_value(f"sampler.options.{name}", value, "0 to 1")


@SAMPLERS.register
class Nsga2:
    """Registered as ``nsga2``."""

    name = "nsga2"
    label = "NSGA-II"
    summary = "genetic search with non-dominated sorting; for some hundred evaluations and more"
    options = Nsga2Options

    def build(self, options: Nsga2Options, seed: int) -> BaseSampler:
        """See ``SamplerFactory.build``."""
        from optuna.samplers import NSGAIISampler

        class Flat(FlatSpace, Generations, NSGAIISampler):
            pass

        return Flat(
            population_size=options.population_size,
            mutation_prob=options.mutation_prob,
            crossover_prob=options.crossover_prob,
            swapping_prob=options.swapping_prob,
            seed=seed,
        )
