"""A100 SXM 80 GB, as its maker describes it."""

from __future__ import annotations

from nas.hardware.described import DescribedDevice
from nas.hardware.device import DEVICES
from nas.roofline.spec import Spec


@DEVICES.register
class A100(DescribedDevice):
    """Figures from the spec sheet; what it says nothing of is stated beside."""

    name = "a100"
    summary = "A100 SXM 80 GB, from its spec sheet: estimated"
    precision = "amp"

    # HBM2: 3.9 pJ a bit (O'Connor et al., MICRO 2017).
    # Host time, idle power and shares of the peak are typical ones, not the maker's.
    spec = Spec(
        kind="gpu",
        model="A100 SXM 80 GB",
        source="NVIDIA, A100 Tensor Core GPU datasheet",
        tflops={"fp32": 19.5, "tf32": 156.0, "fp16": 312.0, "bf16": 312.0, "int8": 624.0},
        vector_tflops=19.5,
        units=108,
        bandwidth_gb_s=2039.0,
        cache_mb=40.0,
        cache_gb_s=5000.0,
        memory_mb=80000.0,
        power_w=400.0,
        static_w=60.0,
        pj_per_byte=31.0,
        eager_us=40.0,
        compiled_us=20.0,
        sustained=0.75,
        attention=0.45,
    )
