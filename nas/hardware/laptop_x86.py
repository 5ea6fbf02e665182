"""Core i7-12700H (6 P-cores, 8 E-cores), as its maker describes it."""

from __future__ import annotations

from nas.hardware.described import DescribedDevice
from nas.hardware.device import DEVICES
from nas.roofline.spec import Spec


@DEVICES.register
class LaptopX86(DescribedDevice):
    """Figures from the spec sheet; what it says nothing of is stated beside."""

    name = "laptop_x86"
    summary = "a laptop's x86 processor (i7-12700H), from its spec sheet: estimated"
    precision = "fp32"

    # AVX2: 32 fp32 operations a cycle at 3.5 GHz (P), 16 at 2.6 GHz (E); VNNI: four times as many.
    # A P-core alone runs at 4.7 GHz.
    # DDR4: about 20 pJ a bit with its interface (Micron, DDR4 power calculator).
    # Host time, idle power and shares of the peak are typical ones, not the maker's.
    spec = Spec(
        kind="cpu",
        model="Core i7-12700H (6 P-cores, 8 E-cores)",
        source="Intel ARK; Intel 64 and IA-32 optimization manual",
        tflops={"fp32": 1.0, "int8": 4.0},
        vector_tflops=1.0,
        units=14,
        bandwidth_gb_s=76.8,
        cache_mb=24.0,
        cache_gb_s=400.0,
        memory_mb=32000.0,
        power_w=45.0,
        static_w=5.0,
        pj_per_byte=150.0,
        eager_us=6.0,
        compiled_us=2.0,
        sustained=0.7,
        attention=0.45,
        fastest=2.1,
    )
