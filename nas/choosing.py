"""Which member of a verified front is best: the rule behind best.json, ``pick`` and ``merge``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.front import Member
from nas.objectives import Limit, Objective, unmet
from nas.pareto import knee
from search_spaces.errors import UserError


def choose(
    limits: Sequence[Limit],
    objectives: Sequence[Objective],
    members: Sequence[Member],
    by: str | None = None,
) -> tuple[str, Member]:
    """The winner: best accuracy within the limits; without limits the knee.

    Limits are held against measured values, whatever confidence the search asked for.

    Args:
        limits: hard limits.
        objectives: of the front.
        members: verified, none dominated.
        by: ``accuracy`` or ``knee`` overrides the rule.

    Returns:
        The rule that was applied, and the member.

    Raises:
        UserError: no member meets the limits on its measured values; names the nearest miss.
    """
    plain = [Limit(limit.objective, limit.bound, limit.side) for limit in limits]
    inside = [
        member
        for member in members
        if not unmet(plain, {name: metric.value for name, metric in member.metrics.items()})
    ]
    if not inside:
        raise UserError(_nearest_miss(plain, members))
    rule = by or ("accuracy" if plain else "knee")
    if rule == "knee" and len(inside) > 1:
        values = np.array([[m.value(o.name) for o in objectives] for m in inside])
        index = knee(values, [o.direction for o in objectives])
        return rule, inside[index or 0]
    return rule, max(inside, key=lambda m: (m.value("accuracy"), -m.value("latency_ms")))


def _nearest_miss(limits: Sequence[Limit], members: Sequence[Member]) -> str:
    parts = []
    for limit in limits:
        values = [member.value(limit.objective.name) for member in members]
        best = min(values, key=limit.violation, default=float("nan"))
        parts.append(f"{limit.asked} (best on the front: {best:.4g})")
    return f"no member of the front meets {' and '.join(parts)}"
