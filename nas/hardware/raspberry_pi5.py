"""Raspberry Pi 5 (4 × Cortex-A76, 2.4 GHz), as its maker describes it."""

from __future__ import annotations

from nas.hardware.described import DescribedDevice
from nas.hardware.device import DEVICES
from nas.roofline.spec import Spec


@DEVICES.register
class RaspberryPi5(DescribedDevice):
    """Figures from the spec sheet; what it says nothing of is stated beside."""

    name = "raspberry_pi5"
    summary = "Raspberry Pi 5, from its spec sheet: estimated"
    precision = "fp32"

    # Two 128-bit pipes a core: 16 fp32 operations a cycle, twice in fp16, four times with SDOT.
    # LPDDR4X: about 5 pJ a bit (JEDEC speed grades, Micron technical notes).
    # Host time, idle power and shares of the peak are typical ones, not the maker's.
    spec = Spec(
        kind="cpu",
        model="Raspberry Pi 5 (4 × Cortex-A76, 2.4 GHz)",
        source="Raspberry Pi, product brief; Arm, Cortex-A76 software optimization guide",
        tflops={"fp32": 0.154, "fp16": 0.307, "int8": 0.614},
        vector_tflops=0.154,
        units=4,
        bandwidth_gb_s=17.1,
        cache_mb=2.0,
        cache_gb_s=60.0,
        memory_mb=8000.0,
        power_w=12.0,
        static_w=3.0,
        pj_per_byte=40.0,
        eager_us=6.0,
        compiled_us=2.0,
        sustained=0.7,
        attention=0.45,
    )
