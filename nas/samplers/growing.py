"""Growing from a seed: the best small net, then one layer and some width at a time (As-ViT, #92).

First seeds are compared: the smallest members of every patch size, attention type and embedding.
From the best of them each step tries one more layer in a stage with its width as it is or larger
(and, as widths alone say less here, more heads or larger MLPs), drops what breaks a limit, and
goes to the lowest sum of ranks over the paid objectives (section 4 of Chen et al., 2022, whose
criteria are ``search.objectives=[length_distortion,ntk_condition,params]``); with accuracy as the
paid objective it grows by accuracy.
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
class GrowingOptions:
    """Options of growing.

    Attributes:
        seeds: small nets that are compared before the first step.
        width: candidates evaluated per step; None: as many as a batch holds.
    """

    seeds: int = 20
    width: int | None = None

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise bad_value("sampler.options.seeds", self.seeds, "1 or more")
        if self.width is not None and self.width < 1:
            raise bad_value("sampler.options.width", self.width, "1 or more, or null")


@SAMPLERS.register
class Growing:
    """Registered as ``growing``."""

    name = "growing"
    label = "growing"
    summary = "grows the best of some small nets, one layer and some width at a time"
    options = GrowingOptions

    def build(self, options: GrowingOptions, seed: int, history: History) -> BaseSampler:
        """See ``SamplerFactory.build``."""
        from nas.proposing.growth import grow
        from nas.proposing.row_sampler import RowSampler

        def rule(history: History, count: int, rng: np.random.Generator) -> IntArray:
            return grow(history, count, rng, options.seeds, options.width)

        return RowSampler(rule, history, seed)
