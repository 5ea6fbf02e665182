"""How a network is run on a described device."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nas.roofline.spec import Spec


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

    @property
    def vector_ops(self) -> float:
        """Operations a second outside matrix units; half of the peak is loads and stores."""
        return self.spec.vector_tflops * 1e12 * 0.5 * self.share
