"""Gaussian processes and expected hypervolume improvement: Optuna's GPSampler (Matérn 5/2, ARD).

Every proposal fits a process per objective and limit, so that its cost grows with the cube of the
trials: for few and expensive evaluations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nas.samplers.novel import Novel
from nas.samplers.sampler import SAMPLERS
from search_spaces.errors import bad_value

if TYPE_CHECKING:
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

        class Paid(GPSampler):
            """Learns from trials whose accuracy is known, not from what others were booked with."""

            def _sample_relative_impl(
                self, study: Any, completed_trials: Any, *others: Any
            ) -> dict[str, Any]:
                known = [t for t in completed_trials if t.user_attrs.get("paid", True)]
                if len(known) < self._n_startup_trials:
                    return {}
                return super()._sample_relative_impl(study, known, *others)

        class Legal(Novel, Paid):
            pass

        sampler = Legal(
            seed=seed, n_startup_trials=options.n_startup_trials, warn_independent_sampling=False
        )
        sampler.attach(history, seed)
        return sampler
