"""H200 SXM, as its maker describes it."""

from __future__ import annotations

from nas.hardware.described import DescribedDevice
from nas.hardware.device import DEVICES
from nas.roofline.spec import Spec


@DEVICES.register
class H200(DescribedDevice):
    """Figures from the spec sheet; what it says nothing of is stated beside."""

    name = "h200"
    summary = "H200 SXM, from its spec sheet: estimated"
    precision = "amp"

    # HBM2: 3.9 pJ a bit (O'Connor et al., MICRO 2017).
    # Host time, idle power and shares of the peak are typical ones, not the maker's.
    spec = Spec(
        kind="gpu",
        model="H200 SXM",
        source="NVIDIA, H200 Tensor Core GPU datasheet (dense)",
        tflops={"fp32": 66.9, "tf32": 494.7, "fp16": 989.4, "bf16": 989.4, "int8": 1978.9},
        vector_tflops=66.9,
        units=132,
        bandwidth_gb_s=4800.0,
        cache_mb=50.0,
        cache_gb_s=7000.0,
        memory_mb=141000.0,
        power_w=700.0,
        static_w=80.0,
        pj_per_byte=31.0,
        eager_us=20.0,
        compiled_us=10.0,
        sustained=0.65,
        attention=0.35,
    )
