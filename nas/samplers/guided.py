"""Predictor-guided search: a model of accuracy decides what is worth an evaluation.

Every batch a surrogate is fitted to all finished trials, an evolution over thousands of candidates
maximises the expected hypervolume improvement (free metrics are known, only the paid one is
uncertain), and a diverse batch is taken one by one, each as if the ones before had come out as
expected (Ginsbourger et al. 2010, Kriging believer; Emmerich et al. 2006, EHVI). What the
surrogate learns is how surely each image was answered, where evaluations tell that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.proxies import PROXIES
from nas.samplers.sampler import SAMPLERS
from search_spaces.errors import bad_value, unknown_name

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
        features: proxies that a second model knows beside the genes; it chooses among the best
            candidates of the first, for scores cost a look at each.
    """

    n_startup: int = 20
    population: int = 200
    generations: int = 4
    features: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (("n_startup", 4), ("population", 10), ("generations", 1)):
            if getattr(self, name) < least:
                raise bad_value(f"sampler.options.{name}", getattr(self, name), f"{least} or more")
        for name in self.features:
            if name not in PROXIES:
                raise unknown_name("sampler.options.features", name, PROXIES.names())


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

        rule = InnerEvolution(
            options.n_startup, options.population, options.generations, options.features
        )
        return RowSampler(rule, history, seed)
