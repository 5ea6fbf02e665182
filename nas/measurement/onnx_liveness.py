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

from collections.abc import Sequence

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
    stream: Count = 0  # elements of the residual stream, read off the norm that begins a section
    queries: Count = 0  # elements of the first linear layer behind that norm
    gone: Count = 0  # block input that torch's caller names until after a reduction
    mapped = in_mlp = False
    for kernel in kernels:
        if kernel.op == "norm":
            stream, queries, mapped = kernel.moved // 2, 0, False
        elif kernel.op == "linear":
            queries, gone = (kernel.m * kernel.n if np.all(queries == 0) else queries), 0
        elif kernel.op == "gelu":
            in_mlp = True
        elif kernel.op == "add":  # to the residual stream: attention, or the MLP, is over
            gone = 0 if in_mlp else stream
            queries, mapped, in_mlp = 0, False, False
        if not (mapped and kernel.op in ("matmul", "softmax")):
            most = np.maximum(most, _live(kernel, stream, queries) - gone)
        mapped = mapped or kernel.op == "attention"
    return most, most


def _live(kernel: Kernel, stream: Count, queries: Count) -> Count:
    """Elements alive while one kernel runs."""
    if kernel.op in _SMALLER:
        return 0
    if kernel.op == "norm":
        return 2 * stream
    if kernel.op == "gelu":
        return stream + kernel.moved
    if kernel.op == "attention":
        # Block input and normed input, queries, keys, and the map; before that one of the two
        # a second time, as it is transposed.
        made = kernel.moved // 4
        return 2 * stream + 2 * made + np.maximum(kernel.repeat * kernel.m * kernel.n, made)
    inside = np.any(queries > 0)
    if kernel.op == "reduce" and inside:
        return 0  # the mean of keys
    if kernel.op == "multiply" and inside:
        return kernel.live + stream  # the normed input waits for the last linear layer
    if kernel.op == "gather" and inside:
        # Queries, keys and values are cut into windows; HiLo's queries wait for its other heads.
        cut = kernel.moved // 6
        return 2 * stream + 3 * cut + np.where(queries > cut, queries, 0)
    return kernel.live
