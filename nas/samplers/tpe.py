"""TPE: sample where good candidates were denser than the others (Bergstra et al. 2011)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.samplers.flat_space import FlatSpace
from nas.samplers.sampler import SAMPLERS
from search_spaces.errors import bad_value

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from nas.proposing.history import History


@dataclass(frozen=True, slots=True)
class TpeOptions:
    """Options of TPE.

    Attributes:
        n_startup_trials: random trials before the first model.
        n_ei_candidates: candidates of which the best is proposed.
        multivariate: one model of all genes; else one per gene, which costs tens of times more
            per trial with 40 genes.
        constant_liar: count proposals of the same batch as bad, so that they spread.
    """

    n_startup_trials: int = 20
    n_ei_candidates: int = 24
    multivariate: bool = True
    constant_liar: bool = True

    def __post_init__(self) -> None:
        for name in ("n_startup_trials", "n_ei_candidates"):
            if getattr(self, name) < 1:
                raise bad_value(f"sampler.options.{name}", getattr(self, name), "1 or more")


@SAMPLERS.register
class Tpe:
    """Registered as ``tpe``."""

    name = "tpe"
    label = "TPE"
    summary = "tree-structured Parzen estimator; for 50 to 500 evaluations"
    options = TpeOptions

    def build(self, options: TpeOptions, seed: int, history: History) -> BaseSampler:
        """See ``SamplerFactory.build``."""
        from optuna.samplers import TPESampler

        class Flat(FlatSpace, TPESampler):
            pass

        sampler = Flat if options.multivariate else TPESampler
        return sampler(
            n_startup_trials=options.n_startup_trials,
            n_ei_candidates=options.n_ei_candidates,
            multivariate=options.multivariate,
            constant_liar=options.constant_liar,
            seed=seed,
        )
