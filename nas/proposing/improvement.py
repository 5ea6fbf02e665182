"""Expected hypervolume improvement where one objective is uncertain and the others are known.

The region that a front leaves undominated is cut into cells over the known objectives; over each
cell the front has a height, the best uncertain value of a member that is no worse in the known
ones. A candidate improves by the volume it adds below that height, which is exact for each value
the candidate may take (Emmerich et al. 2006), and the mean over its quantiles is the expectation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.pareto import non_dominated
from nas.runtimes.base import FloatArray

CELLS = 1600


class Landscape:
    """A front over its known objectives. All costs are scaled: 1 is the reference point.

    Args:
        heights_K: uncertain cost of each front member.
        known_KD: its known costs, D ≥ 0.
    """

    def __init__(self, heights_K: FloatArray, known_KD: FloatArray) -> None:
        inside = (heights_K < 1) & (known_KD < 1).all(axis=1)
        costs = np.concatenate([heights_K[:, None], known_KD], axis=1)[inside]
        costs = costs[non_dominated(costs, ["min"] * costs.shape[1])]
        self.heights_K, self.known_KD = costs[:, 0], costs[:, 1:]
        dimensions = known_KD.shape[1]
        edges = [_edges(column, dimensions) for column in self.known_KD.T]
        self._low = [np.concatenate([[-np.inf], edge]) for edge in edges]
        self._high = [np.concatenate([edge, [1.0]]) for edge in edges]
        height_C = _heights(self.heights_K, self.known_KD, edges).ravel()
        # Cells of one height stand together, so that their volumes are summed before anything
        # is asked of their height.
        self._order_C = np.argsort(height_C, kind="stable")
        self._height_H, self._first_H = np.unique(height_C[self._order_C], return_index=True)

    def improvement(
        self, costs_BS: FloatArray, weights_S: FloatArray, known_BD: FloatArray
    ) -> FloatArray:
        """Expected volume each of B candidates adds, ``(B,)``: S costs with their probabilities."""
        volume_BC = np.ones((len(known_BD), 1))
        for low, high, column in zip(self._low, self._high, known_BD.T, strict=True):
            width = np.maximum(high - np.maximum(low, column[:, None]), 0.0)
            volume_BC = (volume_BC[:, :, None] * width[:, None, :]).reshape(len(known_BD), -1)
        volume_BH = np.add.reduceat(volume_BC[:, self._order_C], self._first_H, axis=1)
        gain_B = np.zeros(len(known_BD))
        for costs_B, weight in zip(costs_BS.T, weights_S, strict=True):
            depth_BH = np.maximum(self._height_H - costs_B[:, None], 0.0)
            gain_B += weight * np.einsum("bh,bh->b", volume_BH, depth_BH)
        return gain_B

    def joined(self, height: float, known_D: FloatArray) -> Landscape:
        """The landscape with one more member."""
        return Landscape(
            np.append(self.heights_K, height), np.concatenate([self.known_KD, known_D[None]])
        )


def _heights(
    heights_K: FloatArray, known_KD: FloatArray, edges: Sequence[FloatArray]
) -> FloatArray:
    """The best height of a member no worse in the known costs, in each cell of the grid.

    A member counts in the cells that begin where it stands or behind: from the first such one on
    along every axis.
    """
    if not edges:
        return np.asarray(heights_K.min(initial=1.0))
    grid = np.ones([len(edge) + 1 for edge in edges])
    at = [
        1 + np.searchsorted(edge, column_K)
        for edge, column_K in zip(edges, known_KD.T, strict=True)
    ]
    inside_K = np.all(
        [place_K < size for place_K, size in zip(at, grid.shape, strict=True)], axis=0
    )
    np.minimum.at(grid, tuple(place_K[inside_K] for place_K in at), heights_K[inside_K])
    for axis in range(grid.ndim):
        np.minimum.accumulate(grid, axis=axis, out=grid)
    return grid


def _edges(column_K: FloatArray, dimensions: int) -> FloatArray:
    """Where cells end along one objective: at the members, thinned out where they are many."""
    values = np.unique(column_K)
    most = max(2, int(CELLS ** (1 / dimensions)) - 1)
    if len(values) > most:
        values = values[np.unique(np.linspace(0, len(values) - 1, most).round().astype(int))]
    return values
