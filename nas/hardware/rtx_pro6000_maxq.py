"""RTX PRO 6000 Blackwell Max-Q, as its maker describes it."""

from __future__ import annotations

from nas.hardware.described import DescribedDevice
from nas.hardware.device import DEVICES
from nas.roofline.spec import Spec


@DEVICES.register
class RtxPro6000MaxQ(DescribedDevice):
    """Figures from the spec sheet; what it says nothing of is stated beside."""

    name = "rtx_pro6000_maxq"
    summary = "RTX PRO 6000 Blackwell Max-Q, from its spec sheet: estimated"
    precision = "amp"

    # Workstation boards sum fp16 products in fp32 at the full rate.
    # 300 W do not hold the clock of the peak: what large products keep is that much less.
    # GDDR7: about 6 pJ a bit (JEDEC JESD239, makers' statements).
    # Host time, idle power and shares of the peak are typical ones, not the maker's.
    spec = Spec(
        kind="gpu",
        model="RTX PRO 6000 Blackwell Max-Q Workstation Edition",
        source="NVIDIA, RTX PRO 6000 Blackwell series datasheet (dense)",
        tflops={"fp32": 110.0, "tf32": 219.5, "fp16": 439.0, "bf16": 439.0, "int8": 878.0},
        vector_tflops=110.0,
        units=188,
        bandwidth_gb_s=1792.0,
        cache_mb=128.0,
        cache_gb_s=6500.0,
        memory_mb=96000.0,
        power_w=300.0,
        static_w=50.0,
        pj_per_byte=50.0,
        eager_us=15.0,
        compiled_us=6.0,
        sustained=0.55,
        sustained_fp32=0.7,
        attention=0.3,
    )
