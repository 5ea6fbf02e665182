"""Joint search over size and latency (EfficientFormerV2, #33, section 3.4).

As slimming, but a step is worth what it adds to the efficiency score of parameters *and* latency:
``argmax ΔMES / Δaccuracy``, with the published exponents (see the objective ``efficiency``).
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
class EfficiencyOptions:
    """Options of the joint search.

    Attributes:
        width: reductions evaluated per step, the rest of a batch are neighbours of the best;
            None: as many as a batch holds.
    """

    width: int | None = 12

    def __post_init__(self) -> None:
        if self.width is not None and self.width < 1:
            raise bad_value("sampler.options.width", self.width, "1 or more, or null")


@SAMPLERS.register
class Efficiency:
    """Registered as ``efficiency``."""

    name = "efficiency"
    label = "joint size and latency"
    summary = "from the largest, the step with the most efficiency score per accuracy lost"
    options = EfficiencyOptions

    def build(self, options: EfficiencyOptions, seed: int, history: History) -> BaseSampler:
        """See ``SamplerFactory.build``."""
        import numpy as np

        from nas.objectives.efficiency import efficiency
        from nas.proposing.descent import slimmed
        from nas.proposing.row_sampler import RowSampler

        def merit(genes_BG: IntArray) -> np.typing.NDArray[np.float64]:
            return np.asarray(efficiency(history.question.columns(genes_BG)), dtype=np.float64)

        def rule(history: History, count: int, rng: np.random.Generator) -> IntArray:
            return slimmed(history, count, rng, merit, options.width)

        return RowSampler(rule, history, seed)
