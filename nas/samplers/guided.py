"""Predictor-guided search: a model of accuracy decides what is worth an evaluation.

Every batch a surrogate is fitted to all finished trials, an evolution over thousands of candidates
maximises the expected hypervolume improvement (free metrics are known, only the paid one is
uncertain), and a diverse batch is taken one by one, each as if the ones before had come out as
expected (Ginsbourger et al. 2010, Kriging believer; Emmerich et al. 2006, EHVI).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.samplers.sampler import SAMPLERS
from search_spaces.errors import bad_value

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from nas.proposing.history import History


@dataclass(frozen=True, slots=True)
class GuidedOptions:
    """Options of the predictor-guided search.

    Attributes:
        n_startup: distinct evaluations, spread over the space, before the first model.
        population: candidates of the inner evolution that live on, and are born each generation.
        generations: of the inner evolution.
    """

    n_startup: int = 20
    population: int = 300
    generations: int = 12

    def __post_init__(self) -> None:
        for name, least in (("n_startup", 4), ("population", 10), ("generations", 1)):
            if getattr(self, name) < least:
                raise bad_value(f"sampler.options.{name}", getattr(self, name), f"{least} or more")


@SAMPLERS.register
class Guided:
    """Registered as ``guided``."""

    name = "guided"
    label = "predictor-guided"
    summary = "a model of accuracy chooses what is evaluated; for 50 to 1,000 evaluations"
    options = GuidedOptions

    def build(self, options: GuidedOptions, seed: int, history: History) -> BaseSampler:
        """See ``SamplerFactory.build``."""
        from nas.proposing.inner import InnerEvolution
        from nas.proposing.row_sampler import RowSampler

        rule = InnerEvolution(options.n_startup, options.population, options.generations)
        return RowSampler(rule, history, seed)
