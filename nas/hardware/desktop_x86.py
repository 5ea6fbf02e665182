"""Core i9-10940X (14 cores), as its maker describes it."""

from __future__ import annotations

from nas.hardware.described import DescribedDevice
from nas.hardware.device import DEVICES
from nas.roofline.spec import Spec


@DEVICES.register
class DesktopX86(DescribedDevice):
    """Figures from the spec sheet; what it says nothing of is stated beside."""

    name = "desktop_x86"
    summary = "a desktop's x86 processor (i9-10940X), from its spec sheet: estimated"
    precision = "fp32"

    # AVX-512: 64 fp32 operations a cycle and core at about 3 GHz; VNNI has four times as many.
    # A core alone runs at 4.6 GHz, in AVX-512 at some 4.2.
    # DDR4: about 20 pJ a bit with its interface (Micron, DDR4 power calculator).
    # Host time, idle power and shares of the peak are typical ones, not the maker's.
    spec = Spec(
        kind="cpu",
        model="Core i9-10940X (14 cores)",
        source="Intel ARK; Intel 64 and IA-32 optimization manual",
        tflops={"fp32": 2.7, "int8": 10.8},
        vector_tflops=2.7,
        units=14,
        bandwidth_gb_s=93.9,
        cache_mb=19.25,
        cache_gb_s=700.0,
        memory_mb=64000.0,
        power_w=165.0,
        static_w=25.0,
        pj_per_byte=150.0,
        eager_us=6.0,
        compiled_us=2.0,
        sustained=0.7,
        attention=0.45,
        fastest=1.4,
    )
