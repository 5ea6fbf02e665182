"""Jetson AGX Orin 64 GB, as its maker describes it."""

from __future__ import annotations

from nas.hardware.described import DescribedDevice
from nas.hardware.device import DEVICES
from nas.roofline.spec import Spec


@DEVICES.register
class JetsonOrin(DescribedDevice):
    """Figures from the spec sheet; what it says nothing of is stated beside."""

    name = "jetson_orin"
    summary = "Jetson AGX Orin 64 GB, from its spec sheet: estimated"
    precision = "fp16"

    # LPDDR5: about 5 pJ a bit (JEDEC speed grades, Micron technical notes).
    # Host time, idle power and shares of the peak are typical ones, not the maker's.
    spec = Spec(
        kind="gpu",
        model="Jetson AGX Orin 64 GB",
        source="NVIDIA, Jetson AGX Orin technical brief v1.2 (dense; the GPU alone)",
        tflops={"fp32": 5.3, "tf32": 21.2, "fp16": 42.5, "bf16": 42.5, "int8": 85.0},
        vector_tflops=5.3,
        units=16,
        bandwidth_gb_s=204.8,
        cache_mb=4.0,
        cache_gb_s=600.0,
        memory_mb=64000.0,
        power_w=60.0,
        static_w=10.0,
        pj_per_byte=40.0,
        eager_us=80.0,
        compiled_us=40.0,
        sustained=0.7,
        attention=0.45,
    )
