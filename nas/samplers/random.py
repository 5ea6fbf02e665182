"""Random search: the baseline every other sampler has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.samplers.sampler import SAMPLERS

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from nas.proposing.history import History


@dataclass(frozen=True, slots=True)
class RandomOptions:
    """Random search has no options."""


@SAMPLERS.register
class Random:
    """Registered as ``random``."""

    name = "random"
    label = "random"
    summary = "every gene uniform and independent; the baseline"
    options = RandomOptions

    def build(self, options: RandomOptions, seed: int, history: History) -> BaseSampler:
        """See ``SamplerFactory.build``."""
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=seed)
