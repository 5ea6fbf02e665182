"""GeForce RTX 5090, as its maker describes it."""

from __future__ import annotations

from nas.hardware.described import DescribedDevice
from nas.hardware.device import DEVICES
from nas.roofline.spec import Spec


@DEVICES.register
class Rtx5090(DescribedDevice):
    """Figures from the spec sheet; what it says nothing of is stated beside."""

    name = "rtx5090"
    summary = "GeForce RTX 5090, from its spec sheet: estimated"
    precision = "amp"

    # Consumer boards sum fp16 products in fp32 at half the rate that is advertised (fp16 sums).
    # GDDR7: about 6 pJ a bit (JEDEC JESD239, makers' statements).
    # Host time, idle power and shares of the peak are typical ones, not the maker's.
    spec = Spec(
        kind="gpu",
        model="GeForce RTX 5090",
        source="NVIDIA, RTX Blackwell GPU architecture white paper, appendix A",
        tflops={"fp32": 104.8, "tf32": 104.8, "fp16": 209.5, "bf16": 209.5, "int8": 838.0},
        vector_tflops=104.8,
        units=170,
        bandwidth_gb_s=1792.0,
        cache_mb=96.0,
        cache_gb_s=6500.0,
        memory_mb=32000.0,
        power_w=575.0,
        static_w=50.0,
        pj_per_byte=50.0,
        eager_us=15.0,
        compiled_us=6.0,
        sustained=0.9,
        attention=0.6,
    )
