"""Time of one kernel: the larger of computing and moving, by the roofline model.

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore
architectures", CACM 52(4), 2009: a kernel is bound by peak arithmetic or by bandwidth. To that come
what sizes cost (see ``nas.roofline.products``) and the launch. Kernels of a traced network are
priced as they run (``Lowered``); those that workloads list of an architecture say what is done, and
what torch makes of it is told here. Every function takes ints or columns (B,).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nas.roofline.lowering import Lowered
from nas.roofline.products import PRODUCTS, product_s
from nas.roofline.setting import Setting
from nas.roofline.spec import BYTES
from search_spaces.workload import Kernel

RAMP_US = {"gpu": 4.0, "cpu": 0.5, "mcu": 0.0}
"""Until all units are busy and all are done again, microseconds."""

FLOPS = {"gelu": 30, "softmax": 24, "norm": 8}
"""Operations an element moved where they are many; an exponential is worth about ten."""
CPU_FLOPS = {**FLOPS, "gelu": 15}
"""Vector libraries of processors make the error function of one short polynomial."""

COPIES = {"norm": 1, "linear": 2, "conv": 3}
"""Tensors that ``amp`` copies to half precision: a norm's output, weights, biases, the image."""

WORK = {
    "gpu": {"gelu": 30, "exponential": 15, "softmax": 24, "norm": 8, "pool": 4, "crossing": 0},
    "cpu": {"gelu": 55, "exponential": 50, "softmax": 60, "norm": 60, "pool": 60, "crossing": 50},
    "mcu": {"gelu": 30, "exponential": 30, "softmax": 30, "norm": 8, "pool": 4, "crossing": 4},
}
"""Operations of a traced network's kernels: an element, or a tap of a pooling.

Those of processors are what torch 2.15 takes on one core with AVX2, as a share of its vector peak:
polynomials and divisions in vectors, but pooling and reading across the order one by one."""

STRIDED = {"gpu": 2.0, "cpu": 1.0, "mcu": 1.0}
"""Traffic of what is read across the order in which it lies: whole sectors for parts of them."""


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
    runs = 1  # absent kernels of a column of candidates cost nothing
    if not isinstance(kernel, Lowered):
        runs = np.minimum(kernel.moved + kernel.macs, 1)
    moved_bytes = traffic(kernel, setting)
    ramp_s = RAMP_US[setting.spec.kind] * 1e-6
    launches = runs * _launches(kernel, setting)
    compute_s = _compute_s(kernel, setting) + ramp_s * launches
    memory_s = _memory_s(moved_bytes, setting) * _crossing(kernel, setting) + ramp_s * launches
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


def _crossing(kernel: Kernel, setting: Setting) -> float:
    """What reading across the order costs, as a multiple of the kernel's traffic."""
    if not isinstance(kernel, Lowered) or not kernel.strided:
        return 1.0
    return 1.0 + (STRIDED[setting.spec.kind] - 1) * float(kernel.strided / kernel.moved)


def _launches(kernel: Kernel, setting: Setting) -> float:
    unfused = kernel.op == "attention" and not setting.fused_attention and not setting.compiled
    if isinstance(kernel, Lowered):
        return kernel.launches + (7.0 if unfused else 0.0)
    if setting.compiled:
        return 0.0 if kernel.op == "norm" else 1.0
    copies = COPIES.get(kernel.op, 0) if setting.precision == "amp" else 0
    return (8.0 if unfused else 1.0) + copies


def _compute_s(kernel: Kernel, setting: Setting) -> Any:
    if kernel.op in PRODUCTS:
        return product_s(kernel, setting)
    kind = setting.spec.kind
    if isinstance(kernel, Lowered):
        each = WORK[kind]
        operations = sum(each.get(name, 1) * elements for name, elements in kernel.work)
        operations = operations + kernel.strided * each["crossing"]
    else:
        operations = kernel.moved * (CPU_FLOPS if kind == "cpu" else FLOPS).get(kernel.op, 1)
    return operations * setting.batch / setting.vector_ops


def _memory_s(moved_bytes: Any, setting: Setting) -> Any:
    """Traffic that fits into half the cache stays there, the rest goes to memory."""
    spec = setting.spec
    fits = np.minimum(1.0, spec.cache_mb * 0.5e6 / np.maximum(moved_bytes, 1.0))
    cache = spec.cache_gb_s * 1e9 * (setting.share if spec.kind == "cpu" else 1.0)
    return moved_bytes * (fits / cache + (1 - fits) / (spec.bandwidth_gb_s * 0.85e9))
