"""SRAM of a microcontroller by the order in which buffers are used (MCUFormer, #71, section 3.3).

int8: an element is a byte. With x the elements of the residual stream, N tokens, h heads of width
d, and an MLP of hidden width r·D:

=========== ================================ ================================
schedule    attention                        MLP
=========== ================================ ================================
naive       5x + hN² (all maps at once)      2x + rND
per_head    2x + 3Nd + N² (a head at a time) 2x + rND
rows        2x + 2Nd + N + 2d (a query row)  2x + rND
overwrite   as ``rows``                      x + rD + D (a token, in place)
=========== ================================ ================================

The embedding reads the image strip by strip: C·p·W + x. The peak is the largest of all parts.
Windows count as heads do: one (head, window) at a time. Where a part holds kernels that these
formulas do not know (sorting, pooling, products of another kind), what it holds in fp32, element
by element, is the bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from search_spaces.workload import Count, Kernel

if TYPE_CHECKING:
    from supernet.workload import Workload

SCHEDULES = ("naive", "per_head", "rows", "overwrite")
KNOWN = frozenset({"norm", "linear", "attention", "add", "gelu", "size_bias"})
KIB = 1024


def sram_bytes(work: Workload, schedule: str = "overwrite") -> int:
    """Peak SRAM of one int8 pass, bytes.

    Args:
        work: of the network.
        schedule: one of ``SCHEDULES``.
    """
    embedding, *rest = work.layers
    columns = embedding.grid[1] if embedding.grid else 1
    parts = [embedding_bytes(embedding.kernels, columns, embedding.tokens_out)]
    parts += [section_bytes(layer.kernels, schedule) for layer in rest]
    return int(max(parts))


def flash_bytes(work: Workload) -> int:
    """Weights in int8, a byte each; code and quantisation scales come on top."""
    return work.params


def sram_kib(work: Workload, schedule: str = "overwrite") -> float:
    """``sram_bytes`` in KiB, the unit of datasheets."""
    return sram_bytes(work, schedule) / KIB


def embedding_bytes(kernels: Sequence[Kernel], columns: Count, tokens: Count) -> Count:
    """A strip of image rows that holds one row of patches, and all tokens.

    Args:
        kernels: of the embedding, a convolution that reads each pixel once: k = C·p².
        columns: patches in a row, so that the strip has columns · k = C·p·W elements.
        tokens: all of them.
    """
    first, *rest = kernels
    peak: Any = columns * first.k + tokens * first.n
    for kernel in rest:
        peak = np.maximum(peak, kernel.live)
    return peak


def section_bytes(kernels: Sequence[Kernel], schedule: str) -> Count:
    """Peak of an attention, an MLP or another part, bytes."""
    if not kernels:
        return 0
    peak: Any = 0
    for kernel in kernels:
        if kernel.op not in KNOWN:
            peak = np.maximum(peak, kernel.live)
    for part in _parts(kernels):
        peak = np.maximum(peak, _part_bytes(part, schedule))
    return peak


def _parts(kernels: Sequence[Kernel]) -> list[list[Kernel]]:
    """What stands between a norm and its residual sum; a token reduction behind it is no part."""
    parts: list[list[Kernel]] = []
    for kernel in kernels:
        if kernel.op == "norm":
            parts.append([])
        if parts and (not parts[-1] or parts[-1][-1].op != "add"):
            parts[-1].append(kernel)
    return parts


def _part_bytes(part: Sequence[Kernel], schedule: str) -> Count:
    linears = [kernel for kernel in part if kernel.op == "linear"]
    attentions = [kernel for kernel in part if kernel.op == "attention"]
    stream = part[0].moved // 2
    if attentions:
        return _attention_bytes(stream, linears, attentions, schedule)
    if any(kernel.op == "gelu" for kernel in part):
        return _mlp_bytes(stream, linears, schedule)
    peak: Any = stream
    for kernel in linears:  # a head, or what stands alone: input and output
        peak = np.maximum(peak, stream + kernel.m * kernel.n)
    return peak


def _attention_bytes(
    stream: Count, linears: Sequence[Kernel], attentions: Sequence[Kernel], schedule: str
) -> Count:
    if schedule == "naive":
        made = sum(kernel.m * kernel.n for kernel in linears[:-1])
        mixed = linears[-1].m * linears[-1].k
        maps = sum(kernel.repeat * kernel.m * kernel.n for kernel in attentions)
        return stream + made + mixed + maps
    peak: Any = 0
    for kernel in attentions:
        queries, keys, width = kernel.m, kernel.n, kernel.k
        if schedule == "per_head":
            held = (queries + 2 * keys) * width + queries * keys
        else:
            held = 2 * keys * width + keys + 2 * width
        peak = np.maximum(peak, np.where(np.asarray(kernel.macs) > 0, held, 0))
    out = linears[-1].m * linears[-1].k  # heads side by side, as wide as the stream or not
    return stream + np.maximum(out, stream) + peak


def _mlp_bytes(stream: Count, linears: Sequence[Kernel], schedule: str) -> Count:
    rows, hidden, width = linears[0].m, linears[0].n, linears[0].k
    if schedule == "overwrite":
        return stream + hidden + width
    return 2 * stream + rows * hidden
