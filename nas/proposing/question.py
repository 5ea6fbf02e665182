"""What a sampler may know beside the finished trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from nas.objectives import Limit, Objective
from nas.pareto import Box, Direction
from nas.runtimes.base import FloatArray
from search_spaces.automaton import IntArray
from search_spaces.errors import UserError
from search_spaces.space import SearchSpace

if TYPE_CHECKING:
    from optuna.distributions import CategoricalDistribution
    from optuna.trial import FrozenTrial

Columns = Mapping[str, FloatArray]
Scores = Callable[[Sequence[str], IntArray], Columns]


@dataclass(frozen=True, eq=False, kw_only=True)
class Question:
    """The space, what is asked of it, and what costs nothing to know about its members.

    Attributes:
        space: what may be proposed.
        columns: free metrics of legal gene rows ``(B, G)``: columns ``(B,)`` by name.
        objectives: in the order of a trial's values.
        limits: hard limits.
        box: fixed scale of the objectives, None where there is none.
        batch_size: proposals made at once.
        scores: proxies of legal gene rows by name, columns ``(B,)`` in each proxy's own direction;
            each row costs a look at an untrained network. None: nothing here can tell.
    """

    space: SearchSpace
    columns: Callable[[IntArray], Columns]
    objectives: tuple[Objective, ...]
    limits: tuple[Limit, ...]
    box: Box | None
    batch_size: int
    scores: Scores | None = None

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Of the objectives."""
        return tuple(objective.direction for objective in self.objectives)

    @cached_property
    def distributions(self) -> dict[str, CategoricalDistribution]:
        """Every gene with its choices, as Optuna wants them."""
        from optuna.distributions import CategoricalDistribution

        return {gene.name: CategoricalDistribution(gene.choices) for gene in self.space.genes}

    @cached_property
    def _index(self) -> tuple[dict[object, int], ...]:
        return tuple({c: i for i, c in enumerate(gene.choices)} for gene in self.space.genes)

    def open_genes(self, trial: FrozenTrial) -> dict[str, CategoricalDistribution]:
        """The genes with a choice, from the first trial on; none for a trial that was enqueued."""
        if "fixed_params" in trial.system_attrs:
            return {}
        return {name: c for name, c in self.distributions.items() if not c.single()}

    def row(self, params: Mapping[str, object]) -> list[int]:
        """The gene row of an Optuna trial's parameters, as proposed: perhaps not legal."""
        genes = self.space.genes
        return [index[params[gene.name]] for gene, index in zip(genes, self._index, strict=True)]

    def scored(self, names: Sequence[str], genes_BG: IntArray) -> dict[str, FloatArray]:
        """Proxies of legal rows; what is a free metric too is counted rather than looked at.

        Raises:
            UserError: nothing here can score.
        """
        free = self.columns(genes_BG)
        costly = [name for name in names if name not in free]
        if not costly:
            return {name: np.asarray(free[name], dtype=np.float64) for name in names}
        if self.scores is None:
            raise UserError(f"proxy {costly[0]!r}: there are no images here to score with")
        scores = self.scores(costly, genes_BG)
        return {name: np.asarray((free if name in free else scores)[name]) for name in names}

    def free_violation(self, columns: Columns) -> FloatArray:
        """Sum of the relative violations of the limits on free metrics, ``(B,)``; 0: all hold."""
        total_B = np.zeros(len(next(iter(columns.values()))))
        for limit in self.limits:
            values_B = columns.get(limit.metric)
            if values_B is not None:
                total_B += np.maximum(limit.excess(values_B), 0.0)
        return total_B
