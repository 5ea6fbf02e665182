"""What ONNX Runtime holds alive during a forward pass, in closed form.

It runs the same kernels as torch eager, but holds other tensors: there is no fused attention, so a
map of queries times keys is in memory (its softmax works in place); values are made only when the
map is there, until when the normed input waits; nobody outside names a block's input, so it is gone
once the attention was added; and a score that a reduction reads is the map itself, since equal
expressions are computed once. Scratch space of products is left out: it is of one tile.

The rules of softmax attention and the MLP were read off ONNX Runtime's optimised graph, those of
other operators found by comparing with measurements; kernels without a rule hold what they hold in
torch. ``benchmarks/memory.py --runtime onnxruntime`` says how far they are from the resident set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from search_spaces.workload import Count, Kernel

_SMALLER = ("linear", "add", "size_bias")
"""Kernels beside which a neighbour always holds more."""


def onnx_peak_live(kernels: Sequence[Kernel]) -> tuple[Count, Count]:
    """The most elements alive for one image, and how many more each further image needs: as many.

    Args:
        kernels: of one or several parts of a network in order of execution, their ``live`` as
            torch eager has it, the residual stream included.
    """
    most: Count = 0
    for _, live in onnx_live(kernels):
        most = np.maximum(most, live)
    return most, most


def onnx_live(kernels: Sequence[Kernel]) -> Iterator[tuple[Kernel, Count]]:
    """Elements alive for one image while each kernel runs; arguments as of ``onnx_peak_live``."""
    section = _Section()
    for kernel in kernels:
        section.enter(kernel)
        yield kernel, section.live(kernel)


class _Section:
    """What has to be known of the kernels before one: those since the last norm."""

    def __init__(self) -> None:
        self.stream: Count = 0  # elements of the residual stream, read off the norm
        self.queries: Count = 0  # elements of the first linear layer
        self.gone: Count = 0  # block input that torch's caller names until after a reduction
        self.biased: Count = 0  # 1 where tokens stand for different numbers of patches
        self.map: Count = 0  # alive beside the attention map; 0 before there is one
        self.in_mlp = False

    def enter(self, kernel: Kernel) -> None:
        """Go on to the next kernel."""
        if kernel.op == "norm":
            self.stream, self.queries, self.map, self.biased = kernel.moved // 2, 0, 0, 0
        elif kernel.op == "linear":
            self.gone = 0
            if np.all(self.queries == 0):
                self.queries = kernel.m * kernel.n
        elif kernel.op == "size_bias":
            self.biased = np.minimum(kernel.moved, 1)
        elif kernel.op == "gelu":
            self.in_mlp = True
        elif kernel.op == "add":  # to the residual stream: attention, or the MLP, is over
            self.gone = 0 if self.in_mlp else self.stream
            self.queries, self.map, self.in_mlp = 0, 0, False

    def live(self, kernel: Kernel) -> Count:
        """Elements alive while a kernel runs."""
        inside = np.any(self.queries > 0)
        if kernel.op in _SMALLER or (kernel.op == "reduce" and inside):
            return 0
        if kernel.op == "norm":
            return 2 * self.stream
        if kernel.op == "gelu":
            return self.stream + kernel.moved
        if kernel.op == "attention":
            # Block input and normed input, queries, keys, and the map, or before that one of the
            # two a second time, as it is transposed. Where a bias is added, they are scaled before.
            made = kernel.moved // 4
            self.map = 2 * self.stream + 2 * made
            self.map += np.maximum(kernel.repeat * kernel.m * kernel.n, made)
            return self.map + self.biased * made
        if kernel.op in ("matmul", "softmax") and np.any(self.map > 0):
            # A score's map is the attention's own, unless a bias stands between them.
            return (self.map + kernel.moved // 4) * self.biased * (kernel.op == "softmax")
        if kernel.op == "multiply" and inside:
            return kernel.live + self.stream  # the normed input waits for the last linear layer
        if kernel.op == "gather" and inside:
            # Queries, keys and values are cut into windows; HiLo's queries wait for other heads.
            cut = kernel.moved // 6
            return 2 * self.stream + 3 * cut + np.where(self.queries > cut, self.queries, 0)
        return kernel.live - self.gone
