"""V100 SXM2 32 GB, as its maker describes it."""

from __future__ import annotations

from nas.hardware.described import DescribedDevice
from nas.hardware.device import DEVICES
from nas.roofline.spec import Spec


@DEVICES.register
class V100(DescribedDevice):
    """Figures from the spec sheet; what it says nothing of is stated beside."""

    name = "v100"
    summary = "V100 SXM2 32 GB, from its spec sheet: estimated"
    precision = "amp"

    # HBM2: 3.9 pJ a bit (O'Connor et al., MICRO 2017).
    # Host time, idle power and shares of the peak are typical ones, not the maker's.
    spec = Spec(
        kind="gpu",
        model="V100 SXM2 32 GB",
        source="NVIDIA, Tesla V100 GPU architecture white paper",
        tflops={"fp32": 15.7, "fp16": 125.0},
        vector_tflops=15.7,
        units=80,
        bandwidth_gb_s=900.0,
        cache_mb=6.0,
        cache_gb_s=2500.0,
        memory_mb=32000.0,
        power_w=300.0,
        static_w=40.0,
        pj_per_byte=31.0,
        eager_us=40.0,
        compiled_us=20.0,
        sustained=0.75,
        attention=0.3,
    )
