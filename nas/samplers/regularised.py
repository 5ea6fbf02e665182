"""Regularised evolution: the oldest die, not the worst (Real et al., 2019, algorithm 1).

The population are the newest 100 trials. The best of 25 drawn from it has a child with one gene
changed. With several objectives the best of a draw is told by non-dominated sorting of the
population, the lonelier first among equals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.samplers.sampler import SAMPLERS
from search_spaces.errors import bad_value

if TYPE_CHECKING:
    import numpy as np
    from optuna.samplers import BaseSampler

    from nas.proposing.history import History
    from search_spaces.automaton import IntArray


@dataclass(frozen=True, slots=True)
class RegularisedOptions:
    """Options of regularised evolution; the defaults are the published ones.

    Attributes:
        population_size: newest trials that may have children; as many are drawn at random first.
        sample_size: of which the best is a parent.
    """

    population_size: int = 100
    sample_size: int = 25

    def __post_init__(self) -> None:
        if self.population_size < 2:
            raise bad_value("sampler.options.population_size", self.population_size, "2 or more")
        if not 1 <= self.sample_size <= self.population_size:
            allowed = f"1 to population_size={self.population_size}"
            raise bad_value("sampler.options.sample_size", self.sample_size, allowed)


@SAMPLERS.register
class Regularised:
    """Registered as ``regularised``."""

    name = "regularised"
    label = "regularised evolution"
    summary = "evolution in which the oldest die; one gene changes at a time"
    options = RegularisedOptions

    def build(self, options: RegularisedOptions, seed: int, history: History) -> BaseSampler:
        """See ``SamplerFactory.build``."""
        from nas.proposing.evolution import ageing_rows
        from nas.proposing.row_sampler import RowSampler

        def rule(history: History, count: int, rng: np.random.Generator) -> IntArray:
            return ageing_rows(history, count, rng, options.population_size, options.sample_size)

        return RowSampler(rule, history, seed)
