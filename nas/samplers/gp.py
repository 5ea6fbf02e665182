"""Gaussian processes and expected hypervolume improvement: Optuna's GPSampler (Matérn 5/2, ARD).

Every proposal fits a process per objective and limit, so that its cost grows with the cube of the
trials: for few and expensive evaluations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from nas.samplers.novel import Novel
from nas.samplers.sampler import SAMPLERS
from search_spaces.errors import bad_value

if TYPE_CHECKING:
    from optuna.distributions import FloatDistribution
    from optuna.samplers import BaseSampler

    from nas.proposing.history import History


@dataclass(frozen=True, slots=True)
class GpOptions:
    """Options of the Gaussian process.

    Attributes:
        n_startup_trials: random trials within the limits before the first model.
    """

    n_startup_trials: int = 20

    def __post_init__(self) -> None:
        if self.n_startup_trials < 1:
            raise bad_value("sampler.options.n_startup_trials", self.n_startup_trials, "1 or more")


@SAMPLERS.register
class Gp:
    """Registered as ``gp``."""

    name = "gp"
    label = "Gaussian process"
    summary = "Gaussian processes; for at most some hundred expensive evaluations"
    options = GpOptions

    def build(self, options: GpOptions, seed: int, history: History) -> BaseSampler:
        """See ``SamplerFactory.build``."""
        from optuna.samplers import GPSampler

        class Sized(GPSampler):
            """Learns from trials whose accuracy is known, and takes sizes as the numbers they are.

            Others were booked with a value that is none. Sizes as categories would tell a process
            nothing about the ones between.
            """

            def _sample_relative_impl(
                self, study: Any, completed_trials: Any, running_trials: Any, search_space: Any
            ) -> dict[str, Any]:
                known = [t for t in completed_trials if t.user_attrs.get("paid", True)]
                if len(known) < self._n_startup_trials:
                    return {}
                sizes = {g.name: g.choices for g in history.question.space.genes if g.ordered}
                numbers = {
                    name: _number(sizes[name]) if name in sizes else choices
                    for name, choices in search_space.items()
                }
                found = super()._sample_relative_impl(study, known, running_trials, numbers)
                return {
                    name: min(sizes[name], key=lambda size: abs(size - value))
                    if name in sizes
                    else value
                    for name, value in found.items()
                }

        class Legal(Novel, Sized):
            pass

        sampler = Legal(
            seed=seed, n_startup_trials=options.n_startup_trials, warn_independent_sampling=False
        )
        sampler.attach(history, seed)
        return sampler


def _number(sizes: Sequence[Any]) -> FloatDistribution:
    """A gene's sizes as a range; with a step where they are evenly spaced."""
    from optuna.distributions import FloatDistribution

    gaps = {round(b - a, 9) for a, b in pairwise(sizes)}
    return FloatDistribution(sizes[0], sizes[-1], step=gaps.pop() if len(gaps) == 1 else None)
