"""Time of one kernel: the larger of computing and moving, by the roofline model.

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore
architectures", CACM 52(4), 2009: a kernel is bound by peak arithmetic or by bandwidth. To that come
what sizes cost (blocks at the edges, units without a block: NVIDIA, "Matrix multiplication
background", tile and wave quantisation) and the launch. Every function takes ints or columns (B,).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nas.roofline.lowering import Lowered
from nas.roofline.spec import BYTES, Spec
from search_spaces.workload import Count, Kernel, ceil_div

PRODUCTS = ("linear", "attention", "matmul", "conv", "depthwise")
RAMP_US = {"gpu": 4.0, "cpu": 0.5, "mcu": 0.0}
"""Until all units are busy and all are done again, microseconds."""

STRIDED = {"gpu": 2.0, "cpu": 1.0, "mcu": 1.0}
"""How much dearer it is to read across the order in which elements lie."""

FLOPS = {"gelu": 30, "exponential": 15, "softmax": 24, "norm": 8}
"""Operations an element moved where they are many; an exponential is worth about ten."""
WORK = {
    "gpu": {"gelu": 30, "exponential": 15, "softmax": 24, "norm": 8, "pool": 4, "crossing": 0},
    "cpu": {"gelu": 55, "exponential": 50, "softmax": 60, "norm": 60, "pool": 60, "crossing": 50},
    "mcu": {"gelu": 30, "exponential": 30, "softmax": 30, "norm": 8, "pool": 4, "crossing": 4},
}
"""Likewise for kernels of traced networks: instructions an element, or a tap of a pooling.

Those of processors are what torch 2.15 takes on one core with AVX2, as a share of its vector peak:
polynomials and divisions in vectors, but pooling and reading across the order one by one."""
CPU_FLOPS = {**FLOPS, "gelu": 15}
"""Vector libraries of processors make the error function of one short polynomial."""
ALIGNED_BYTES = 16
MISALIGNED = 1.5
"""What a product costs more whose rows do not start at multiples of 16 bytes (tensor cores)."""

MISALIGNED_MAPS = 4.0
"""Likewise, of batched products over maps of logits: with 197 keys no row but the first is."""

FILL, FILL_BATCHED = 64, 16
"""Depth worth of filling and draining a GPU's block; of batched products several blocks share a
unit, and hide most of it from each other."""

ATTENTION = 0.85
"""Of large products' speed, what those inside of a processor's fused attention reach."""

DEPTHWISE = {"gpu": (40.0, 5.0), "cpu": (30.0, 1.5), "mcu": (0.0, 2.0)}
"""Instructions of a depth-wise convolution: for an output, and for a tap of it."""

LEAST_DEPTH = {"gpu": 64, "cpu": 1, "mcu": 1}
"""Depth that a convolution's block is computed with at least: whole steps, of eight channels a tap."""

SHALLOW, SHALLOW_DEPTH = 0.2, 32
"""Depth-wise convolutions (fewer inputs to an output) leave matrix units unused, and reach this
share of the vector peak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How a network is run on a device.

    Attributes:
        spec: the device.
        precision: one of ``spec.precisions``.
        batch: images of one pass.
        compiled: neighbouring element-wise work is fused into one kernel.
        fused_attention: no map of logits goes through memory.
        threads: cores that work; None: all. Of no effect on a GPU.
        schedule: order of buffers on a microcontroller, which its SRAM depends on.
    """

    spec: Spec
    precision: str
    batch: int = 1
    compiled: bool = False
    fused_attention: bool = True
    threads: int | None = None
    schedule: str = "overwrite"

    @property
    def units(self) -> int:
        """Units that share the work."""
        spec = self.spec
        if self.threads is None or spec.kind == "gpu":
            return spec.units
        return min(self.threads, spec.units)

    @property
    def share(self) -> float:
        """Of the device's peak, what the units that work have.

        One core alone is the fastest and has the highest clock; all have what the device has.
        Between these ends it is a power of their number.
        """
        spec = self.spec
        if self.units == spec.units:
            return 1.0
        power = 1 - math.log(spec.fastest) / math.log(spec.units)
        return float((self.units / spec.units) ** power)

    @property
    def unit_share(self) -> float:
        """Of the device's peak, what one of the units that work has."""
        return self.share / self.units

    @property
    def launch_s(self) -> float:
        """Host time of one kernel, s."""
        spec = self.spec
        return (spec.compiled_us if self.compiled else spec.eager_us) * 1e-6


@dataclass(frozen=True, slots=True)
class KernelTime:
    """What one kernel costs, in seconds; ints' or columns' floats.

    Attributes:
        compute_s: arithmetic at what the sizes allow.
        memory_s: traffic at the bandwidth of the level it stays in.
        launches: how often the host is needed.
        macs, bytes: of the whole batch.
    """

    compute_s: Any
    memory_s: Any
    launches: Any
    macs: Any
    bytes: Any

    @property
    def busy_s(self) -> Any:
        """The roofline: the larger of both."""
        return np.maximum(self.compute_s, self.memory_s)


def price(kernel: Kernel, setting: Setting) -> KernelTime:
    """What a kernel costs for a batch.

    Args:
        kernel: for one image, as workloads list them.
        setting: how it is run.
    """
    if isinstance(kernel, Lowered) and kernel.fixed:
        setting = replace(setting, batch=1)
    runs = np.minimum(kernel.moved + kernel.macs, 1)  # absent kernels cost nothing
    if isinstance(kernel, Lowered):
        runs = 1
    moved_bytes = traffic(kernel, setting)
    ramp_s = RAMP_US[setting.spec.kind] * 1e-6
    launches = runs * _launches(kernel, setting)
    compute_s = _compute_s(kernel, setting) + ramp_s * launches
    memory_s = _memory_s(moved_bytes, setting) + ramp_s * launches
    if isinstance(kernel, Lowered) and kernel.strided:
        crossed = kernel.strided * setting.batch * BYTES[setting.precision]
        more = STRIDED[setting.spec.kind] - 1
        memory_s = memory_s + _memory_s(moved_bytes, setting) * more * crossed / moved_bytes
    if kernel.op == "attention" and not setting.fused_attention:
        memory_s = memory_s + compute_s  # products and softmax are kernels one after another
    return KernelTime(compute_s, memory_s, launches, kernel.macs * setting.batch, moved_bytes)


def traffic(kernel: Kernel, setting: Setting) -> Any:
    """Bytes read and written by a kernel for a batch.

    In ``amp`` the residual stream and norms are fp32 and products half: a sum reads 4 + 2 and
    writes 4 bytes, a norm reads and writes 4 and is then copied to half. Weights are copied to half
    in every pass. Compiled, a norm is computed by the kernel that makes its input, and written
    once. (torch.amp's list of ops; TorchInductor fuses point-wise work and reductions.)
    """
    batch, precision = setting.batch, setting.precision
    moved, amp = kernel.moved * batch, precision == "amp"
    size: float = BYTES[precision]
    if isinstance(kernel, Lowered):
        return (moved + kernel.weights) * size + _map_traffic(kernel, setting)
    if kernel.op == "norm":
        if setting.compiled:
            return moved / 2 * size
        return moved * (7 if amp else size)
    if kernel.op == "add":
        return moved * (10 / 3 if amp else size)
    made = moved * size + kernel.weights * (6 + size if amp else size)
    if kernel.op == "conv" and amp:  # its input is of fp32, and copied
        made = made + (moved - kernel.m * kernel.n * batch) * 6
    return made + _map_traffic(kernel, setting)


def _map_traffic(kernel: Kernel, setting: Setting) -> Any:
    """Bytes of the map of logits, where attention is not fused."""
    if kernel.op != "attention" or setting.fused_attention:
        return 0
    size = BYTES[setting.precision]
    accesses = 16 if setting.precision == "amp" else 4 * size  # written, softmax, read
    made = kernel.repeat * kernel.m * kernel.n * setting.batch * accesses
    if not setting.compiled:  # heads are copied side by side, before and behind
        made = made + 2 * kernel.moved * setting.batch * size
    return made


def misaligned(kernel: Kernel, setting: Setting) -> Any:
    """Whether a product's rows miss the alignment that matrix units want."""
    size = BYTES[setting.precision]
    unfused = kernel.op == "attention" and not setting.fused_attention
    products = kernel.op in ("linear", "matmul") or unfused
    if not setting.spec.matrix_units(setting.precision) or size > 2 or not products:
        return kernel.m * 0
    step = ALIGNED_BYTES // size
    return np.minimum(kernel.n % step + kernel.k % step, 1)


def _launches(kernel: Kernel, setting: Setting) -> float:
    if isinstance(kernel, Lowered):
        parts = 7 if kernel.op == "attention" and not setting.fused_attention else 0
        return float(kernel.launches + (0 if setting.compiled else parts))
    if setting.compiled:
        return 0.0 if kernel.op == "norm" else 1.0
    copies = setting.precision == "amp" and kernel.op in ("norm", "linear", "conv")
    parts = 8.0 if kernel.op == "attention" and not setting.fused_attention else 1.0
    return parts + copies


def _compute_s(kernel: Kernel, setting: Setting) -> Any:
    spec = setting.spec
    if isinstance(kernel, Lowered) and kernel.op not in PRODUCTS:
        kinds = WORK[spec.kind]
        operations = sum(kinds.get(name, 1) * elements for name, elements in kernel.work)
        operations = operations + kernel.strided * kinds["crossing"]
        return operations * setting.batch / _vector(setting)
    if isinstance(kernel, Lowered) and kernel.op == "depthwise":
        return _depthwise_s(kernel, setting)
    if kernel.op not in PRODUCTS:
        per_element = (CPU_FLOPS if spec.kind == "cpu" else FLOPS).get(kernel.op, 1)
        return kernel.moved * setting.batch * per_element / _vector(setting)
    if kernel.op == "attention":
        return _attention_s(kernel, setting)
    per_unit = spec.reached_tflops(setting.precision) * 1e12 * setting.unit_share
    rows, repeat = kernel.m, kernel.repeat
    if kernel.op == "matmul":  # each image has its own matrices; else rows of all are one product
        repeat = repeat * setting.batch
    else:
        rows = rows * setting.batch
    fill = FILL_BATCHED if kernel.op == "matmul" else FILL
    depth = kernel.k
    if isinstance(kernel, Lowered) and kernel.op == "conv":  # few inputs are filled up
        depth = np.maximum(depth, LEAST_DEPTH[spec.kind])
    dense = _product_s(rows, kernel.n, depth, repeat, setting, per_unit, fill)
    dense = dense * (1 + (MISALIGNED - 1) * misaligned(kernel, setting))
    if kernel.op != "conv" or isinstance(kernel, Lowered):
        return dense
    shallow = kernel.macs * setting.batch * 2 / (_vector(setting) * SHALLOW)
    return np.where(np.asarray(kernel.k) < SHALLOW_DEPTH, shallow, dense)


def _depthwise_s(kernel: Kernel, setting: Setting) -> Any:
    """Instruction by instruction: an output's place, then loads and a multiply-add a tap."""
    place, tap = DEPTHWISE[setting.spec.kind]
    return (kernel.m * kernel.n * place + kernel.macs * tap) * setting.batch / _vector(setting)


def _product_s(
    m: Count,
    n: Count,
    k: Count,
    repeat: Count,
    setting: Setting,
    per_unit: float,
    fill: int = FILL,
) -> Any:
    """``repeat`` products (m, k) @ (k, n), cut as suits the sizes best."""
    best: Any = np.inf
    depth = ceil_div(k, 8) * 8 + (fill if setting.spec.kind == "gpu" else 8)
    for tile in setting.spec.tiles(setting.precision):
        blocks = ceil_div(m, tile.rows) * ceil_div(n, tile.columns) * repeat
        waves = ceil_div(blocks, setting.units)
        flops = 2.0 * tile.rows * tile.columns * depth
        best = np.minimum(best, waves * flops / (per_unit * tile.share))
    return best


def _attention_s(kernel: Kernel, setting: Setting) -> Any:
    """Both products block by block; a GPU's keys and queries are padded to whole blocks."""
    spec = setting.spec
    block = 64 if spec.kind == "gpu" else 32 if spec.kind == "cpu" else 1
    padded = block if spec.kind == "gpu" else 1
    queries, keys = (ceil_div(size, padded) * padded for size in (kernel.m, kernel.n))
    width = ceil_div(kernel.k, 8) * 8
    groups = kernel.repeat * setting.batch * ceil_div(kernel.m, block)
    even = ceil_div(groups, setting.units) * setting.units / np.maximum(groups, 1)
    flops = 4.0 * kernel.repeat * setting.batch * queries * keys * width
    if spec.kind == "cpu" and setting.fused_attention:  # products, then exponentials
        logits = kernel.repeat * setting.batch * queries * keys
        rate = spec.reached_tflops(setting.precision) * 1e12 * ATTENTION * setting.share
        return (flops / rate + logits * WORK["cpu"]["softmax"] / _vector(setting)) * even
    share = spec.attention if setting.fused_attention else spec.sustained / 2
    rate = spec.peak_tflops(setting.precision) * 1e12 * share * setting.share
    return flops * even / rate * (1 + (MISALIGNED_MAPS - 1) * misaligned(kernel, setting))


def _vector(setting: Setting) -> float:
    """Operations a second outside matrix units; half of the peak is loads and stores."""
    return setting.spec.vector_tflops * 1e12 * 0.5 * setting.share


def _memory_s(moved_bytes: Any, setting: Setting) -> Any:
    """Traffic that fits into half the cache stays there, the rest goes to memory."""
    spec = setting.spec
    fits = np.minimum(1.0, spec.cache_mb * 0.5e6 / np.maximum(moved_bytes, 1.0))
    cache = spec.cache_gb_s * 1e9 * (setting.share if spec.kind == "cpu" else 1.0)
    return moved_bytes * (fits / cache + (1 - fits) / (spec.bandwidth_gb_s * 0.85e9))
