"""Fronts as arithmetic: who is non-dominated, how much a front covers, where its knee is.

Everywhere ``values`` is (N, M): one row per candidate, one column per objective, in the objective's
own unit and direction. Columns are turned into costs (smaller is better) by ``to_costs`` and
nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Direction = Literal["min", "max"]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

PAIRWISE = 300  # rows up to which comparing all pairs at once is the quicker way


def to_costs(values: ArrayLike, directions: Sequence[Direction]) -> Floats:
    """The same numbers with "smaller is better" in every column: the one place signs flip.

    Args:
        values: (N, M), or (M,) for one candidate.
        directions: M directions.

    Raises:
        ValueError: the number of columns is not the number of directions.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        array = array.reshape(-1, len(directions))
    if array.shape[-1] != len(directions):
        raise ValueError(f"{array.shape[-1]} columns for {len(directions)} directions")
    signs = [-1.0 if direction == "max" else 1.0 for direction in directions]
    return np.asarray(array * np.array(signs), dtype=np.float64)


def non_dominated(values: ArrayLike, directions: Sequence[Direction]) -> Mask:
    """Which rows no other row dominates.

    Equal rows do not dominate each other: all of them stay. A row with NaN is no candidate.

    Returns:
        (N,) mask.
    """
    costs_NM = to_costs(values, directions)
    mask_N: Mask = np.asarray(~np.isnan(costs_NM).any(axis=1))
    rows_K = np.flatnonzero(mask_N)
    if len(rows_K) <= PAIRWISE:
        mask_N[rows_K] = ~_dominates(costs_NM[rows_K]).any(axis=0)
        return mask_N
    # In lexicographic order no row is dominated by a later one, so each row that is still there
    # when its turn comes is a member and only has to strike out what follows it.
    order_K = rows_K[np.lexsort(costs_NM[rows_K].T[::-1])]
    while order_K.size:
        first, rest = costs_NM[order_K[0]], costs_NM[order_K]
        struck = (first <= rest).all(axis=1) & (first < rest).any(axis=1)
        mask_N[order_K[struck]] = False
        order_K = order_K[~struck][1:]
    return mask_N


def _dominates(costs_KM: Floats) -> Mask:
    """(K, K): whether the first dominates the second."""
    no_worse_KK: Mask = np.ones((len(costs_KM), len(costs_KM)), dtype=np.bool_)
    for costs_K in costs_KM.T:
        no_worse_KK &= costs_K[:, None] <= costs_K
    return no_worse_KK & ~no_worse_KK.T


@dataclass(frozen=True, slots=True)
class Box:
    """The fixed scale of a hypervolume: values at its ideal corner count 0, at its worst corner 1.

    Attributes:
        ideal: best value of each objective, in its own unit.
        worst: the reference point: what is worse in any objective covers nothing.
    """

    ideal: tuple[float, ...]
    worst: tuple[float, ...]

    @classmethod
    def around(cls, values: ArrayLike, directions: Sequence[Direction]) -> Box | None:
        """The smallest box around the finite rows; None where there is no such row."""
        array = np.asarray(values, dtype=np.float64).reshape(-1, len(directions))
        array = array[np.isfinite(array).all(axis=1)]
        if not len(array):
            return None
        costs = to_costs(array, directions)
        columns = range(len(directions))
        best, worst = costs.argmin(axis=0), costs.argmax(axis=0)
        return cls(
            ideal=tuple(float(array[best[m], m]) for m in columns),
            worst=tuple(float(array[worst[m], m]) for m in columns),
        )

    def scale(self, values: ArrayLike, directions: Sequence[Direction]) -> Floats:
        """(N, M) costs, 0 at the ideal and 1 at the worst corner; below 0 beyond the ideal."""
        ideal, worst = to_costs(self.ideal, directions), to_costs(self.worst, directions)
        width = worst - ideal
        costs = to_costs(values, directions) - ideal
        return np.asarray(costs / np.where(width > 0, width, 1.0), dtype=np.float64)


def hypervolume(values: ArrayLike, directions: Sequence[Direction], box: Box) -> float:
    """The share of ``box`` that the rows dominate.

    Exact (moocore). Above 1 where rows are better than the box's ideal corner; rows with NaN or
    outside the reference point add nothing. An objective on which the box has no width counts
    in its own unit.
    """
    costs_NM = box.scale(values, directions)
    costs_NM = costs_NM[np.isfinite(costs_NM).all(axis=1)]
    reference = np.ones(len(directions))
    costs_NM = costs_NM[(costs_NM < reference).all(axis=1)]
    if not len(costs_NM):
        return 0.0
    if len(directions) == 1:
        return float(1.0 - costs_NM.min())
    import moocore

    return float(moocore.hypervolume(costs_NM, ref=reference))


def knee(values: ArrayLike, directions: Sequence[Direction]) -> int | None:
    """The front member nearest to the ideal point.

    Every objective is scaled to [0, 1] over the front, those to be minimised by their logarithm
    (a millisecond means more at 2 than at 200) unless one of them is not positive. An objective
    on which all members agree does not count.

    Returns:
        Index of a row of ``values``, None where no row is finite. Members equally near are told
        apart by their scaled costs from the first objective on, equal rows by their order.
    """
    array_NM = np.asarray(values, dtype=np.float64).reshape(-1, len(directions))
    finite_N: Mask = np.asarray(np.isfinite(array_NM).all(axis=1))
    members_K = np.flatnonzero(
        finite_N & non_dominated(np.where(finite_N[:, None], array_NM, np.nan), directions)
    )
    if not len(members_K):
        return None
    front_KM = array_NM[members_K].copy()
    for column, direction in enumerate(directions):
        if direction == "min" and (front_KM[:, column] > 0).all():
            front_KM[:, column] = np.log(front_KM[:, column])
    costs_KM = to_costs(front_KM, directions)
    low, high = costs_KM.min(axis=0), costs_KM.max(axis=0)
    scaled_KM = (costs_KM - low) / np.where(high > low, high - low, 1.0)
    # Rounded, so that mirror images tie however their last bits fell.
    distance_K = np.round((scaled_KM**2).sum(axis=1), 12)
    return int(members_K[np.lexsort((*scaled_KM.T[::-1], distance_K))[0]])
