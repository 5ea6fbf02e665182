"""Arithmetic of products: blocks at the edges, units without a block, and what fits no block.

Blocks at the edges are filled up and units without a block wait (NVIDIA, "Matrix multiplication
background", tile and wave quantisation). Every function takes ints or columns (B,).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nas.roofline.lowering import Lowered
from nas.roofline.setting import Setting
from nas.roofline.spec import BYTES
from search_spaces.workload import Count, Kernel, ceil_div

PRODUCTS = ("linear", "attention", "matmul", "conv", "depthwise")

ALIGNED_BYTES = 16
MISALIGNED = 1.5
"""What a product costs more whose rows do not start at multiples of 16 bytes (tensor cores)."""

MISALIGNED_MAPS = 4.0
"""Likewise, of batched products over maps of logits: with 197 keys no row but the first is."""

FILL, FILL_BATCHED = 64, 16
"""Depth worth of filling and draining a GPU's block; of batched products several blocks share a
unit, and hide most of it from each other."""

LEAST_DEPTH = {"gpu": 64, "cpu": 1, "mcu": 1}
"""Depth that a traced convolution is computed with at least: eight channels at each tap of some."""

SHALLOW, SHALLOW_DEPTH = 0.2, 32
"""Depth-wise convolutions (fewer inputs to an output) leave matrix units unused, and reach this
share of the vector peak."""

DEPTHWISE = {"gpu": (40.0, 5.0), "cpu": (45.0, 1.3), "mcu": (0.0, 2.0)}
"""Instructions of a traced depth-wise convolution: for an output, and for a tap of it."""

ATTENTION, EXPONENTIAL = 0.85, 60
"""Of large products' speed, what those inside of a processor's fused attention reach; operations
of the softmax, a logit."""


def product_s(kernel: Kernel, setting: Setting) -> Any:
    """Seconds of a kernel whose op is one of ``PRODUCTS``, for the batch."""
    if kernel.op == "attention":
        return _attention_s(kernel, setting)
    if kernel.op == "depthwise":
        return _depthwise_s(kernel, setting)
    dense = _dense_s(kernel, setting)
    if kernel.op != "conv" or isinstance(kernel, Lowered):
        return dense
    shallow = kernel.macs * setting.batch * 2 / (setting.vector_ops * SHALLOW)
    return np.where(np.asarray(kernel.k) < SHALLOW_DEPTH, shallow, dense)


def misaligned(kernel: Kernel, setting: Setting) -> Any:
    """Whether a product's rows miss the alignment that matrix units want."""
    size = BYTES[setting.precision]
    unfused = kernel.op == "attention" and not setting.fused_attention
    products = kernel.op in ("linear", "matmul") or unfused
    if not setting.spec.matrix_units(setting.precision) or size > 2 or not products:
        return kernel.m * 0
    step = ALIGNED_BYTES // size
    return np.minimum(kernel.n % step + kernel.k % step, 1)


def _dense_s(kernel: Kernel, setting: Setting) -> Any:
    spec, rows, repeat, depth, fill = setting.spec, kernel.m, kernel.repeat, kernel.k, FILL
    if kernel.op == "matmul":  # each image has its own matrices; else rows of all are one product
        repeat, fill = repeat * setting.batch, FILL_BATCHED
    else:
        rows = rows * setting.batch
    if kernel.op == "conv" and isinstance(kernel, Lowered):
        depth = np.maximum(depth, LEAST_DEPTH[spec.kind])
    found = _blocks_s(rows, kernel.n, depth, repeat, setting, fill)
    return found * (1 + (MISALIGNED - 1) * misaligned(kernel, setting))


def _blocks_s(m: Count, n: Count, k: Count, repeat: Count, setting: Setting, fill: int) -> Any:
    """``repeat`` products (m, k) @ (k, n), cut as suits the sizes best."""
    spec = setting.spec
    per_unit = spec.reached_tflops(setting.precision) * 1e12 * setting.unit_share
    best: Any = np.inf
    depth = ceil_div(k, 8) * 8 + (fill if spec.kind == "gpu" else 8)
    for tile in spec.tiles(setting.precision):
        blocks = ceil_div(m, tile.rows) * ceil_div(n, tile.columns) * repeat
        waves = ceil_div(blocks, setting.units)
        flops = 2.0 * tile.rows * tile.columns * depth
        best = np.minimum(best, waves * flops / (per_unit * tile.share))
    return best


def _depthwise_s(kernel: Kernel, setting: Setting) -> Any:
    """Instruction by instruction: an output's place, then loads and a multiply-add a tap."""
    place, tap = DEPTHWISE[setting.spec.kind]
    instructions = kernel.m * kernel.n * place + kernel.macs * tap
    return instructions * setting.batch / setting.vector_ops


def _attention_s(kernel: Kernel, setting: Setting) -> Any:
    """Both products block by block; a GPU's keys and queries are padded to whole blocks."""
    spec = setting.spec
    block = 64 if spec.kind == "gpu" else 32 if spec.kind == "cpu" else 1
    padded = block if spec.kind == "gpu" else 1
    queries, keys = (ceil_div(size, padded) * padded for size in (kernel.m, kernel.n))
    width = ceil_div(kernel.k, 8) * 8
    groups = kernel.repeat * setting.batch * ceil_div(kernel.m, block)
    even = ceil_div(groups, setting.units) * setting.units / np.maximum(groups, 1)
    logits = kernel.repeat * setting.batch * queries * keys
    flops = 4.0 * logits * width
    if spec.kind == "cpu" and setting.fused_attention:  # products, then exponentials
        rate = spec.reached_tflops(setting.precision) * 1e12 * ATTENTION * setting.share
        return (flops / rate + logits * EXPONENTIAL / setting.vector_ops) * even
    share = spec.attention if setting.fused_attention else spec.sustained / 2
    rate = spec.peak_tflops(setting.precision) * 1e12 * share * setting.share
    return flops * even / rate * (1 + (MISALIGNED_MAPS - 1) * misaligned(kernel, setting))
