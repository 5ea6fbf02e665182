"""What the samplers on Optuna's genetic ones share: options and children."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.samplers.generations import Generations
from search_spaces.errors import bad_value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from nas.proposing.children import Children
    from nas.proposing.history import History


@dataclass(frozen=True, slots=True)
class GeneticOptions:
    """Options of a genetic sampler.

    Attributes:
        population_size: trials of a generation, at least 2.
        mutation_prob: that a gene changes, [0, 1]; None: one gene of a child on average.
        crossover_prob: that a child has two parents rather than one, [0, 1].
        swapping_prob: that a part comes from the second parent, [0, 1].
    """

    population_size: int = 50
    mutation_prob: float | None = None
    crossover_prob: float = 0.9
    swapping_prob: float = 0.5

    def __post_init__(self) -> None:
        if self.population_size < 2:
            raise bad_value("sampler.options.population_size", self.population_size, "2 or more")
        for name in ("mutation_prob", "crossover_prob", "swapping_prob"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise bad_value(f"sampler.options.{name}", value, "0 to 1")


class Legal(Generations):
    """Stands before the Optuna class: its first generation is legal and distinct, too.

    Attributes:
        family: makes children, and those that have no parents.
        history: of the study.
    """

    family: Children
    history: History

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """See ``Question.open_genes``."""
        return dict(self.history.question.open_genes(trial))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A child, or while there are no parents a random architecture."""
        child: dict[str, Any] = super().sample_relative(study, trial, search_space)  # type: ignore[safe-super]
        if child or not search_space:
            return child
        return self.family.without_parents(search_space)


def children(options: GeneticOptions, seed: int, history: History) -> Children:
    """Children under these options, drawn from ``seed`` apart from Optuna's own draws."""
    from nas.proposing.children import Children

    rng = np.random.default_rng([seed, 1])
    return Children(history, rng, options)


@contextmanager
def experimental() -> Iterator[None]:
    """Without Optuna's notice that child strategies may change: our pin names the version."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
