"""Latency-driven slimming: give up what costs least accuracy a millisecond (EfficientFormer, #13).

From the largest net downwards (section 4.2 of Li et al., 2022). Each step compares reductions,
``argmin Δaccuracy / Δlatency``: a narrower stage, a layer less, a head or an MLP step less, another
attention type or token reduction in one layer. Where the paper takes a block's importance from its
trained mixing weights, here the smaller net itself is evaluated with its inherited weights. Behind
the end of the walk, and where a batch holds more than a step needs, neighbours of the best follow.
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
class SlimmingOptions:
    """Options of slimming.

    Attributes:
        width: reductions evaluated per step, the rest of a batch are neighbours of the best;
            None: as many as a batch holds.
        saves: the free metric that is to be saved.
    """

    width: int | None = 12
    saves: str = "latency_ms"

    def __post_init__(self) -> None:
        if self.width is not None and self.width < 1:
            raise bad_value("sampler.options.width", self.width, "1 or more, or null")
        _check_metric(self.saves)


def _check_metric(name: str) -> None:
    from nas.objectives import OBJECTIVES

    metric = OBJECTIVES[name]
    if not metric.free or metric.direction != "min":
        raise bad_value("sampler.options.saves", name, "a metric that is free and minimised")


@SAMPLERS.register
class Slimming:
    """Registered as ``slimming``."""

    name = "slimming"
    label = "slimming"
    summary = "from the largest, the step with the least accuracy lost per millisecond saved"
    options = SlimmingOptions

    def build(self, options: SlimmingOptions, seed: int, history: History) -> BaseSampler:
        """See ``SamplerFactory.build``."""
        from nas.proposing.descent import slimmed
        from nas.proposing.row_sampler import RowSampler
        from nas.proposing.worth import price_of

        def rule(history: History, count: int, rng: np.random.Generator) -> IntArray:
            question = history.question
            return slimmed(
                history,
                count,
                rng,
                lambda rows: -price_of(question, rows, options.saves),
                options.width,
            )

        return RowSampler(rule, history, seed)
