"""Who is better where several objectives and limits count."""

from __future__ import annotations

import numpy as np

from nas.pareto import non_dominated
from nas.runtimes.base import FloatArray
from search_spaces.automaton import IntArray


def fronts(costs_NM: FloatArray, violation_N: FloatArray) -> IntArray:
    """Rank of each candidate, 0 for the best, ``(N,)``.

    Feasible ones are peeled off front by front; the others follow by their violation
    (constrained domination, Deb et al. 2002, definition 1).
    """
    rank_N = np.zeros(len(costs_NM), dtype=np.int64)
    left = np.flatnonzero(violation_N <= 0)
    level = 0
    while len(left):
        member = non_dominated(costs_NM[left], ["min"] * costs_NM.shape[1])
        if not member.any():  # not a number
            member[:] = True
        rank_N[left[member]] = level
        left, level = left[~member], level + 1
    broken = np.flatnonzero(violation_N > 0)
    if len(broken):
        _, order = np.unique(violation_N[broken], return_inverse=True)
        rank_N[broken] = level + order
    return rank_N


def crowding(costs_NM: FloatArray, rank_N: IntArray) -> FloatArray:
    """Crowding distance of each candidate among those of its rank, ``(N,)`` (Deb et al. 2002)."""
    distance_N = np.zeros(len(costs_NM))
    for level in np.unique(rank_N):
        members = np.flatnonzero(rank_N == level)
        for column in costs_NM[members].T:
            order = np.argsort(column, kind="stable")
            values = column[order]
            width = values[-1] - values[0]
            gaps = np.full(len(members), np.inf)
            if len(members) > 2:
                spread = values[2:] - values[:-2]
                gaps[1:-1] = spread / width if width > 0 and np.isfinite(width) else 0.0
            distance_N[members[order]] += gaps
    return distance_N


def best_first(costs_NM: FloatArray, violation_N: FloatArray) -> IntArray:
    """Indices from best to worst: by front, the lonelier first within one."""
    rank_N = fronts(costs_NM, violation_N)
    order: IntArray = np.lexsort((-crowding(costs_NM, rank_N), rank_N))
    return order


def tournament(order_N: IntArray, count: int, rng: np.random.Generator, size: int = 2) -> IntArray:
    """``count`` winners of tournaments among candidates given from best to worst."""
    places = rng.integers(len(order_N), size=(count, size)).min(axis=1)
    winners: IntArray = order_N[places]
    return winners
