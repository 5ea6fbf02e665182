"""Snapdragon 8 Gen 2 (Cortex-X3, 2 × A715, 2 × A710), as its maker describes it."""

from __future__ import annotations

from nas.hardware.described import DescribedDevice
from nas.hardware.device import DEVICES
from nas.roofline.spec import Spec


@DEVICES.register
class PhoneArm(DescribedDevice):
    """Figures from the spec sheet; what it says nothing of is stated beside."""

    name = "phone_arm"
    summary = "a phone's Arm processor (Snapdragon 8 Gen 2), from its spec sheet: estimated"
    precision = "fp32"

    # The five big cores: 32 fp32 operations a cycle (X3, 3.2 GHz), 16 on the others (2.8 GHz).
    # The X3 alone has 1.8 times their mean.
    # LPDDR5X: about 5 pJ a bit (JEDEC speed grades, Micron technical notes).
    # Host time, idle power and shares of the peak are typical ones, not the maker's.
    spec = Spec(
        kind="cpu",
        model="Snapdragon 8 Gen 2 (Cortex-X3, 2 × A715, 2 × A710)",
        source="Qualcomm, product brief; Arm, software optimization guides",
        tflops={"fp32": 0.28, "fp16": 0.56, "int8": 1.12},
        vector_tflops=0.28,
        units=5,
        bandwidth_gb_s=67.0,
        cache_mb=8.0,
        cache_gb_s=150.0,
        memory_mb=12000.0,
        power_w=6.0,
        static_w=0.7,
        pj_per_byte=40.0,
        eager_us=6.0,
        compiled_us=2.0,
        sustained=0.65,
        attention=0.45,
        fastest=1.8,
    )
