"""Hard limits: those of a run, and whether anything of its space can meet them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from nas.config import RunConfig
from nas.objectives import OBJECTIVES, Limit
from nas.runtimes.base import FloatArray
from search_spaces.automaton import IntArray
from search_spaces.errors import UserError
from search_spaces.space import SearchSpace
from supernet.costs import Costs

PROBE = 4096


def limits_of(config: RunConfig) -> tuple[Limit, ...]:
    """The hard limits of a run."""
    return tuple(
        Limit(OBJECTIVES[name], bound)
        for name, bound in config.constraints.items()
        if bound is not None
    )


def end_rows(space: SearchSpace) -> IntArray:
    """Gene rows of the largest and smallest members of every patch size."""
    rows = [
        space.extreme(largest=largest, patch_size=patch)
        for patch in space.spec.patch_size
        for largest in (True, False)
    ]
    return np.stack(rows)


def probe_rows(space: SearchSpace, seed: int) -> IntArray:
    """Gene rows that show what a space can reach: its ends, and many random members."""
    drawn = space.sample_genes(np.random.default_rng([seed, 4]), PROBE)
    return np.concatenate([end_rows(space), drawn])


def closed_form(costs: Costs, batch: int) -> dict[str, FloatArray]:
    """The metrics that are counted rather than measured or learned, as columns by name."""
    return {
        "peak_memory_mb": costs.peak_memory_mb(batch),
        "params": costs.params_B,
        "macs": costs.macs_B,
    }


def check_reachable(
    limits: Iterable[Limit], columns: Mapping[str, FloatArray], advice: str = ""
) -> None:
    """Refuse limits that no architecture meets, before anything is paid for.

    Args:
        limits: those on metrics that are no column are not judged.
        columns: metrics of ``probe_rows``.
        advice: ends the line.

    Raises:
        UserError: names the limit and the best value that can be reached.
    """
    for limit in limits:
        values = columns.get(limit.objective.name)
        if values is None:
            continue
        best = float(values.min() if limit.objective.direction == "min" else values.max())
        if limit.violation(best) > 0:
            unit = f" {limit.objective.unit}" if limit.objective.unit else ""
            raise UserError(
                f"constraints.{limit.objective.name}={limit.bound:g}: no architecture of the space "
                f"meets it; the best reachable value is about {best:.4g}{unit}{advice}"
            )
