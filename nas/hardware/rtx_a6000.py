"""RTX A6000, as its maker describes it."""

from __future__ import annotations

from nas.hardware.described import DescribedDevice
from nas.hardware.device import DEVICES
from nas.roofline.spec import Spec


@DEVICES.register
class RtxA6000(DescribedDevice):
    """Figures from the spec sheet; what it says nothing of is stated beside."""

    name = "rtx_a6000"
    summary = "RTX A6000, from its spec sheet: estimated"
    precision = "amp"

    # Workstation boards sum fp16 products in fp32 at the full rate.
    # GDDR6: about 7.5 pJ a bit (Micron, GDDR6X product brief).
    # Host time, idle power and shares of the peak are typical ones, not the maker's.
    spec = Spec(
        kind="gpu",
        model="RTX A6000",
        source="NVIDIA, Ampere GA102 architecture white paper, v2.1 (dense)",
        tflops={"fp32": 38.7, "tf32": 77.4, "fp16": 154.8, "bf16": 154.8, "int8": 309.7},
        vector_tflops=38.7,
        units=84,
        bandwidth_gb_s=768.0,
        cache_mb=6.0,
        cache_gb_s=3000.0,
        memory_mb=48000.0,
        power_w=300.0,
        static_w=35.0,
        pj_per_byte=60.0,
        eager_us=15.0,
        compiled_us=6.0,
        sustained=0.7,
        attention=0.4,
    )
