"""Prices of parts of networks, each worked out once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from search_spaces.automaton import DEAD, IntArray

FloatArray = npt.NDArray[np.float64]
Priced = tuple[FloatArray, FloatArray]
"""Rows ``(B, E)`` and peaks ``(B, 2)`` of B parts; see ``supernet.costs``."""


class Prices:
    """A table by code: what a part is, as the choices that its price depends on.

    Args:
        dims: how many there are of each choice.
        width: entries of a row.

    Attributes:
        dims: as given.
        index: place in the table by code; ``DEAD`` where nothing was priced yet.
        rows, peaks: the table; place 0 is a part that is not there and costs nothing.
    """

    def __init__(self, dims: Sequence[int], width: int) -> None:
        self.dims = tuple(dims)
        self.index = np.full(int(np.prod(self.dims)), DEAD, dtype=np.int64)
        self.rows = np.zeros((1, width))
        self.peaks = np.zeros((1, 2))

    def code(self, *choices: IntArray) -> IntArray:
        """One number for the choices of each part, ``(B,)``."""
        codes: IntArray = np.ravel_multi_index(choices, self.dims)
        return codes

    def choices(self, codes_B: IntArray) -> IntArray:
        """The inverse, ``(B, choices)``."""
        return np.stack(np.unravel_index(codes_B, self.dims), axis=1)

    def add(self, codes_B: IntArray, rows: FloatArray, peaks: FloatArray) -> None:
        """Keep the prices of codes that have none."""
        self.index[codes_B] = np.arange(len(self.peaks), len(self.peaks) + len(codes_B))
        self.rows = np.concatenate([self.rows, rows])
        self.peaks = np.concatenate([self.peaks, peaks])

    def look_up(self, codes_B: IntArray, price: Callable[[IntArray], Priced]) -> Priced:
        """Rows and peaks of B parts.

        Args:
            codes_B: what they are.
            price: indices into ``codes_B``, all of different codes, to their rows and peaks.
        """
        missing = np.flatnonzero(self.index[codes_B] == DEAD)
        if len(missing):
            codes, first = np.unique(codes_B[missing], return_index=True)
            self.add(codes, *price(missing[first]))
        at = self.index[codes_B]
        return self.rows[at], self.peaks[at]


def grouped(
    op_B: IntArray, price: Callable[[int, IntArray], Priced]
) -> Callable[[IntArray], Priced]:
    """Price parts operator by operator.

    Args:
        op_B: which operator each part is.
        price: an operator and indices of parts that are it, to their rows and peaks.
    """

    def priced(rows: IntArray) -> Priced:
        ops, order = np.unique(op_B[rows], return_inverse=True)
        groups = [np.flatnonzero(order == place) for place in range(len(ops))]
        found = [price(int(op), rows[group]) for op, group in zip(ops, groups, strict=True)]
        back = np.argsort(np.concatenate(groups), kind="stable")
        rows_BE, peaks_B2 = (np.concatenate(part) for part in zip(*found, strict=True))
        return rows_BE[back], peaks_B2[back]

    return priced
