"""Constrained generative synthesis (TurboViT, #24; Wong et al., 2018).

``G = argmax U(G(s))`` subject to ``1_r(G(s)) = 1``: a generator is moved towards what did best, and
only what the indicator lets through is ever proposed. Here the indicator is every limit: those on
free metrics are held against each candidate before it is proposed (what breaks one is made smaller
until it fits), those on paid ones keep a trial from teaching the generator. The generator is one
distribution per gene, moved to the best feasible trials, non-dominated ones first.
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
class TurbovitOptions:
    """Options of constrained generation.

    Attributes:
        startup: trials drawn within the limits before the generator first moves.
        elite: share of the feasible trials that it moves to.
        explore: weight of the uniform distribution in every gene's, above 0.
    """

    startup: int = 20
    elite: float = 0.2
    explore: float = 0.15

    def __post_init__(self) -> None:
        if self.startup < 1:
            raise bad_value("sampler.options.startup", self.startup, "1 or more")
        for name in ("elite", "explore"):
            if not 0 < getattr(self, name) <= 1:
                raise bad_value(f"sampler.options.{name}", getattr(self, name), "above 0, to 1")


@SAMPLERS.register
class Turbovit:
    """Registered as ``turbovit``."""

    name = "turbovit"
    label = "constrained generation"
    summary = "a generator moved to the best; only what meets all limits is proposed"
    options = TurbovitOptions

    def build(self, options: TurbovitOptions, seed: int, history: History) -> BaseSampler:
        """See ``SamplerFactory.build``."""
        from nas.proposing.generation import generate
        from nas.proposing.row_sampler import RowSampler

        def rule(history: History, count: int, rng: np.random.Generator) -> IntArray:
            return generate(history, count, rng, options.startup, options.elite, options.explore)

        return RowSampler(rule, history, seed)
