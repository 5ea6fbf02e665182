"""GeForce RTX 4090, as its maker describes it."""

from __future__ import annotations

from nas.hardware.described import DescribedDevice
from nas.hardware.device import DEVICES
from nas.roofline.spec import Spec


@DEVICES.register
class Rtx4090(DescribedDevice):
    """Figures from the spec sheet; what it says nothing of is stated beside."""

    name = "rtx4090"
    summary = "GeForce RTX 4090, from its spec sheet: estimated"
    precision = "amp"

    # Consumer boards sum fp16 products in fp32 at half the rate that is advertised (fp16 sums).
    # GDDR6X: 7.25 pJ a bit (Micron, GDDR6X product brief).
    # Host time, idle power and shares of the peak are typical ones, not the maker's.
    spec = Spec(
        kind="gpu",
        model="GeForce RTX 4090",
        source="NVIDIA, Ada GPU architecture white paper, appendix A",
        tflops={"fp32": 82.6, "tf32": 82.6, "fp16": 165.2, "bf16": 165.2, "int8": 660.6},
        vector_tflops=82.6,
        units=128,
        bandwidth_gb_s=1008.0,
        cache_mb=72.0,
        cache_gb_s=5000.0,
        memory_mb=24000.0,
        power_w=450.0,
        static_w=40.0,
        pj_per_byte=58.0,
        eager_us=15.0,
        compiled_us=6.0,
        sustained=0.9,
        attention=0.6,
    )
