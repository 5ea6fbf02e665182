"""Tesla T4, as its maker describes it."""

from __future__ import annotations

from nas.hardware.described import DescribedDevice
from nas.hardware.device import DEVICES
from nas.roofline.spec import Spec


@DEVICES.register
class T4(DescribedDevice):
    """Figures from the spec sheet; what it says nothing of is stated beside."""

    name = "t4"
    summary = "Tesla T4, from its spec sheet: estimated"
    precision = "amp"

    # 70 W do not hold the clock of the peak: half of it is what large products keep.
    # GDDR6: about 7.5 pJ a bit (Micron, GDDR6X product brief).
    # Host time, idle power and shares of the peak are typical ones, not the maker's.
    spec = Spec(
        kind="gpu",
        model="Tesla T4",
        source="NVIDIA, Turing GPU architecture white paper, appendix",
        tflops={"fp32": 8.1, "fp16": 65.0, "int8": 130.0},
        vector_tflops=8.1,
        units=40,
        bandwidth_gb_s=320.0,
        cache_mb=4.0,
        cache_gb_s=1300.0,
        memory_mb=16000.0,
        power_w=70.0,
        static_w=12.0,
        pj_per_byte=60.0,
        eager_us=40.0,
        compiled_us=20.0,
        sustained=0.5,
        sustained_fp32=0.5,
        attention=0.25,
    )
