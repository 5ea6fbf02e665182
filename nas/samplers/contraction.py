"""Progressive contraction of the largest net to the knee (TinyViT, #52, section 3.2).

Each step makes smaller nets by one contraction factor each (a stage's width, its depth, all its
heads, all its MLPs, the tokens), keeps those within the limits, and goes on from the most accurate
of them. The paper stops at a given size; here the walk goes on until the knee of what was found
lies some steps back, and the rest of the budget looks around the knee.
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
class ContractionOptions:
    """Options of contraction.

    Attributes:
        width: contractions evaluated per step; None: as many as a batch holds.
        beyond: steps behind the knee after which the walk ends.
    """

    width: int | None = None
    beyond: int = 3

    def __post_init__(self) -> None:
        if self.width is not None and self.width < 1:
            raise bad_value("sampler.options.width", self.width, "1 or more, or null")
        if self.beyond < 1:
            raise bad_value("sampler.options.beyond", self.beyond, "1 or more")


@SAMPLERS.register
class Contraction:
    """Registered as ``contraction``."""

    name = "contraction"
    label = "contraction"
    summary = "the largest net contracted factor by factor to the knee, then around it"
    options = ContractionOptions

    def build(self, options: ContractionOptions, seed: int, history: History) -> BaseSampler:
        """See ``SamplerFactory.build``."""
        from nas.proposing.contracting import contract
        from nas.proposing.row_sampler import RowSampler

        def rule(history: History, count: int, rng: np.random.Generator) -> IntArray:
            return contract(history, count, rng, options.width, options.beyond)

        return RowSampler(rule, history, seed)
