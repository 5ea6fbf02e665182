"""What a latency predictor learns from: a network's work as columns that add up over kernels.

Each column is a sum over kernels, so that a candidate's row is a sum of table rows. These kinds of
column carried the predictors' accuracy (figures in ``benchmarks/RESULTS.md``): work by kind of
kernel; the work of each operator, whose kernels run at a speed of their own; how often a small
product is repeated, one call each in most libraries; what makes linear layers slower than their
MACs; and what does not fit a core's cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from search_spaces.workload import Kernel, ceil_div

FloatArray = npt.NDArray[np.float64]

PRODUCTS = ("linear", "attention", "matmul", "conv")
REPEATED = ("attention", "matmul")
PLAIN = (
    *("norm", "add", "multiply", "gelu", "relu", "softmax", "size_bias"),
    *("gather", "concat", "pool", "reduce", "sort", "sizes", "ones"),
)
OTHER = "other"
"""Kernels of users' operators that have no column of their own."""

BALANCES = (4, 16, 64)
"""MACs that a machine does while it moves one element; the truth lies between some of them."""
ROOFLINE = ("kernels", *(f"roofline_{balance}" for balance in BALANCES))
"""The first columns, of every space: launches, and time on machines of different balance
(Williams et al. 2009): the larger of computing and moving, kernel by kernel."""

LINEAR = ("linear_fours", "linear_root")
"""What small linear layers cost beyond their MACs: these with rows rounded up to ``ROWS``, as
libraries compute several rows at once (Goto and van de Geijn 2008, ACM TOMS 34:3), and their square
root, since a larger product runs at a higher speed."""
ROWS = 4

SPILLS = ("spill_linear", "spill_other")
"""Elements of a kernel, weights included, beyond ``CACHE``."""
CACHE = 2**18
"""1 MB in fp32, the cache a core of today's processors has to itself."""


class Features:
    """The columns of one space.

    Args:
        operators: labels of its attention types and token reductions.

    Attributes:
        names: of the F columns.
    """

    def __init__(self, operators: Sequence[str]) -> None:
        labels = dict.fromkeys(operators)
        self.names: tuple[str, ...] = (
            *ROOFLINE,
            *(f"{op}_{what}" for op in (*PRODUCTS, OTHER) for what in ("count", "macs", "moved")),
            *(f"{op}_{what}" for op in REPEATED for what in ("repeats", "scores")),
            *(f"{op}_{what}" for op in PLAIN for what in ("count", "moved")),
            *LINEAR,
            *SPILLS,
            *(f"{what}_{label}" for label in labels for what in ("layers", "macs", "moved")),
            "weights",
        )
        self._index = {name: index for index, name in enumerate(self.names)}

    def rows(
        self, count: int, kernels: Sequence[Kernel], sections: Mapping[str, Sequence[Kernel]]
    ) -> FloatArray:
        """``(count, F)`` of kernels whose sizes are numbers or columns ``(count,)``.

        Args:
            count: candidates.
            kernels: all work; the parameters' column stays 0.
            sections: those of ``kernels`` that belong to an operator, by its label.
        """
        rows = np.zeros((count, len(self.names)))
        for kernel in kernels:
            self._add(rows, kernel)
        for label, own in sections.items():
            rows[:, self._index[f"layers_{label}"]] += 1
            for kernel in own:
                # A linear layer runs as fast here as elsewhere: it has a price already.
                if kernel.op != "linear":
                    rows[:, self._index[f"macs_{label}"]] += kernel.macs
                rows[:, self._index[f"moved_{label}"]] += kernel.moved
        return rows

    def _add(self, rows: FloatArray, kernel: Kernel) -> None:
        runs = np.asarray(kernel.moved) > 0
        at = self._index
        rows[:, 0] += runs
        for column, balance in enumerate(BALANCES, start=1):
            rows[:, column] += np.maximum(kernel.macs, balance * np.asarray(kernel.moved))
        op = kernel.op if f"{kernel.op}_count" in at else OTHER
        rows[:, at[f"{op}_count"]] += runs
        rows[:, at[f"{op}_moved"]] += kernel.moved
        if f"{op}_macs" in at:
            rows[:, at[f"{op}_macs"]] += kernel.macs
        if op in REPEATED:
            rows[:, at[f"{op}_repeats"]] += kernel.repeat * runs
            rows[:, at[f"{op}_scores"]] += kernel.repeat * kernel.m * kernel.n * runs
        spills = np.asarray(kernel.moved) + kernel.weights - CACHE
        spill = "spill_linear" if op == "linear" else "spill_other"
        rows[:, at[spill]] += np.maximum(spills, 0)
        if op == "linear":
            rows[:, at["linear_root"]] += np.sqrt(kernel.macs)
            each = np.asarray(kernel.macs) / np.maximum(kernel.m, 1)
            rows[:, at["linear_fours"]] += each * ROWS * ceil_div(kernel.m, ROWS)
