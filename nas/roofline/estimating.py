"""``estimate``: what a network would cost on a device that is only described."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.roofline.energy import energy_j
from nas.roofline.kernels import KernelTime, price
from nas.roofline.products import PRODUCTS, misaligned
from nas.roofline.schedule import SCHEDULES, flash_bytes, sram_bytes
from nas.roofline.setting import Setting
from nas.roofline.spec import BYTES
from nas.roofline.traced import Traced
from search_spaces.architecture import Architecture
from search_spaces.errors import bad_value, unknown_name
from search_spaces.presets import PRESETS, preset
from search_spaces.workload import Kernel

if TYPE_CHECKING:
    from supernet.workload import Workload

DEFAULT_CLASSES = 1000
PROVENANCE = "estimated"
MB = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelEstimate:
    """One kernel of an estimate.

    Attributes:
        layer: the part of the network it belongs to.
        op: kind of kernel.
        latency_ms: its part of the whole.
        bound: ``compute``, ``bandwidth`` or ``launch``: what it waits for.
        padded: whether its sizes miss the alignment the device wants.
    """

    layer: str
    op: str
    latency_ms: float
    bound: str
    padded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a network would cost on a described device: computed, nothing was run.

    Attributes:
        device: the device's name.
        precision, batch, compiled: how it would be run.
        latency_ms: of one batch, milliseconds.
        throughput: images a second.
        energy_mj: of one image, millijoules.
        memory_mb: weights and largest activations, 10^6 bytes; on a microcontroller its SRAM.
        flash_mb: weights, where they live apart (microcontrollers); else 0.
        kernels: the parts, in order; their latencies sum up to ``latency_ms``.
        provenance: always ``estimated``.
    """

    device: str
    precision: str
    batch: int
    compiled: bool
    latency_ms: float
    throughput: float
    energy_mj: float
    memory_mb: float
    flash_mb: float
    kernels: tuple[KernelEstimate, ...]
    provenance: str = PROVENANCE

    @property
    def bound(self) -> str:
        """What most of the time is spent waiting for."""
        names = ("compute", "bandwidth", "launch")
        spent = {n: sum(k.latency_ms for k in self.kernels if k.bound == n) for n in names}
        return max(names, key=lambda name: spent[name])


def estimate(
    workload: Workload | Architecture | str,
    device: str,
    *,
    batch: int | None = None,
    precision: str | None = None,
    compiled: bool | None = None,
    fused_attention: bool = True,
    threads: int | None = None,
    schedule: str = "overwrite",
    num_classes: int = DEFAULT_CLASSES,
) -> Estimate:
    """Price a network on a device that is described by its spec sheet.

    Kernel by kernel by the roofline model (Williams et al., CACM 2009), with what sizes cost on
    top; see ``nas.roofline.kernels``. Devices enter by their spec sheets alone; the few constants
    that all of them share were set by hand.

    Args:
        workload: a workload, an architecture, or the name of a preset (``deit_small``); that of any
            torch module comes from ``nas.hardware.trace(module)``.
        device: name of a described device (``rtx4090``).
        batch: images of one pass; None: the device's default profile.
        precision: fp32, tf32, fp16, bf16, amp or int8, as the device offers; None: likewise.
        compiled: neighbouring element-wise work fused (torch.compile) or not (eager); None:
            likewise.
        fused_attention: False prices attention with its map of logits in memory (before torch 2).
        threads: cores that work, on processors; None: all.
        schedule: order of buffers on a microcontroller, see ``nas.roofline.schedule``.
        num_classes: outputs of the head, for architectures and presets.

    Returns:
        Latency in ms a batch, images a second, mJ an image, MB.

    Raises:
        UserError: the device is unknown or not described, or does not offer the precision; the
            preset is unknown; a number is not positive.
    """
    from nas.hardware.described import COMPILED, described  # devices know this module

    found = described(device)
    usual, spec = found.default(), found.spec
    precision = precision or usual.precision
    if precision not in spec.precisions:
        raise bad_value("precision", precision, f"one of {', '.join(spec.precisions)} on {device}")
    batch = usual.batch or 1 if batch is None else batch
    for name, number in (("batch", batch), ("threads", threads)):
        if number is not None and (isinstance(number, bool) or number < 1 or number != int(number)):
            raise bad_value(name, number, "a positive integer")
    if schedule not in SCHEDULES:
        raise unknown_name("schedule", schedule, SCHEDULES)
    setting = Setting(
        spec=spec,
        precision=precision,
        batch=batch,
        compiled=usual.runtime == COMPILED if compiled is None else compiled,
        fused_attention=fused_attention,
        threads=threads,
        schedule=schedule,
    )
    return estimate_work(_workload(workload, num_classes), device, setting)


def estimate_work(work: Workload, device: str, setting: Setting) -> Estimate:
    """The same for a workload and a setting that are known to be good."""
    run = _as_run(work, setting)
    named = [(layer.name, kernel) for layer in run.layers for kernel in layer.kernels]
    times = [price(kernel, setting) for _, kernel in named]
    latency_s = float(total_s(times, setting))
    memory_mb, flash_mb = _memory(work, setting)
    joules = float(energy_j(times, latency_s, setting))
    return Estimate(
        device=device,
        precision=setting.precision,
        batch=setting.batch,
        compiled=setting.compiled,
        latency_ms=latency_s * 1e3,
        throughput=setting.batch / latency_s,
        energy_mj=joules / setting.batch * 1e3,
        memory_mb=memory_mb,
        flash_mb=flash_mb,
        kernels=_parts(named, times, setting),
    )


def _as_run(work: Workload, setting: Setting) -> Workload:
    """The kernels that run: those of a traced module follow from how it is run."""
    if not isinstance(work, Traced):
        return work
    spec, precision = setting.spec, setting.precision
    units = spec.matrix_units(precision)
    return work.under(precision == "amp", setting.compiled, spec.kind, turned=units)


def total_s(times: Sequence[KernelTime], setting: Setting) -> Any:
    """Seconds of all kernels: launches overlap with work on a GPU, and stop it on a processor."""
    busy: Any = sum(time.busy_s for time in times)
    host: Any = sum(time.launches for time in times) * setting.launch_s
    return np.maximum(busy, host) if setting.spec.asynchronous else busy + host


def _parts(
    named: Sequence[tuple[str, Kernel]], times: Sequence[KernelTime], setting: Setting
) -> tuple[KernelEstimate, ...]:
    busy_s = sum(float(time.busy_s) for time in times)
    host_s = sum(float(time.launches) for time in times) * setting.launch_s
    waits = setting.spec.asynchronous and host_s > busy_s
    parts = []
    for (layer, kernel), time in zip(named, times, strict=True):
        busy, launch = float(time.busy_s), float(time.launches) * setting.launch_s
        bound = "compute" if time.compute_s >= time.memory_s else "bandwidth"
        if waits or (not setting.spec.asynchronous and launch > busy):
            bound = "launch"
        own = launch if waits else busy + (0.0 if setting.spec.asynchronous else launch)
        padded = kernel.op in PRODUCTS and bool(misaligned(kernel, setting))
        parts.append(
            KernelEstimate(
                layer=layer, op=kernel.op, latency_ms=own * 1e3, bound=bound, padded=padded
            )
        )
    return tuple(parts)


def _memory(work: Workload, setting: Setting) -> tuple[float, float]:
    """(memory, flash) in 10^6 bytes."""
    if setting.spec.kind == "mcu":
        return sram_bytes(work, setting.schedule) / MB, flash_bytes(work) / MB
    size = 4 if setting.precision == "amp" else BYTES[setting.precision]
    return work.peak_memory_mb(setting.batch) * size / 4, 0.0


def _workload(workload: Workload | Architecture | str, num_classes: int) -> Workload:
    from supernet.workload import workload as work_of  # operators come with torch

    if isinstance(workload, str):
        if workload not in PRESETS:
            raise unknown_name("preset", workload, PRESETS)
        workload = preset(workload)
    if isinstance(workload, Architecture):
        return work_of(workload, num_classes)
    return workload
