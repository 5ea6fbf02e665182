"""AutoFormer's evolution (Chen et al., 2021, section 3.4, and the published settings).

Generations of 50: the first at random, then 25 mutations and 25 crossovers of the 10 best found so
far. A mutation redraws depth, width and what else is shared by layers with probability 0.4 each and
a layer's genes with 0.2 each; a crossover takes every gene from either of two parents of equal
depth. Its one objective is accuracy within limits; with several objectives the parents come from
the non-dominated sort, the lonelier first. Unlike the original it looks at no test image.
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

COUNTS = ("population_size", "parents")
SHARES = ("layer_prob", "stage_prob")


@dataclass(frozen=True, slots=True)
class AutoformerOptions:
    """Options of AutoFormer's evolution; the defaults are the published ones.

    Attributes:
        population_size: trials of a generation.
        parents: the best so far that have children.
        mutations: children of one parent in a generation.
        crossovers: children of two; what is left of a generation is drawn at random.
        layer_prob: that a mutation redraws a gene of a layer.
        stage_prob: that a mutation redraws depth, width, patch size …
    """

    population_size: int = 50
    parents: int = 10
    mutations: int = 25
    crossovers: int = 25
    layer_prob: float = 0.2
    stage_prob: float = 0.4

    def __post_init__(self) -> None:
        for name in COUNTS:
            if getattr(self, name) < 2:
                raise bad_value(f"sampler.options.{name}", getattr(self, name), "2 or more")
        for name in ("mutations", "crossovers"):
            if getattr(self, name) < 0:
                raise bad_value(f"sampler.options.{name}", getattr(self, name), "0 or more")
        if self.mutations + self.crossovers > self.population_size:
            total = self.mutations + self.crossovers
            allowed = f"at most population_size={self.population_size} with the crossovers"
            raise bad_value("sampler.options.mutations", total, allowed)
        for name in SHARES:
            if not 0 < getattr(self, name) <= 1:
                raise bad_value(f"sampler.options.{name}", getattr(self, name), "above 0, to 1")


@SAMPLERS.register
class Autoformer:
    """Registered as ``autoformer``."""

    name = "autoformer"
    label = "AutoFormer's evolution"
    summary = "mutations and crossovers of the ten best, as AutoFormer publishes it"
    options = AutoformerOptions

    def build(self, options: AutoformerOptions, seed: int, history: History) -> BaseSampler:
        """See ``SamplerFactory.build``."""
        from nas.proposing.evolution import autoformer_rows
        from nas.proposing.row_sampler import RowSampler

        def rule(history: History, count: int, rng: np.random.Generator) -> IntArray:
            return autoformer_rows(history, count, rng, options)

        return RowSampler(rule, history, seed)
