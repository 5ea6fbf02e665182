"""Xeon Platinum 8380 (40 cores), as its maker describes it."""

from __future__ import annotations

from nas.hardware.described import DescribedDevice
from nas.hardware.device import DEVICES
from nas.roofline.spec import Spec


@DEVICES.register
class ServerX86(DescribedDevice):
    """Figures from the spec sheet; what it says nothing of is stated beside."""

    name = "server_x86"
    summary = "a server's x86 processor (Xeon 8380), from its spec sheet: estimated"
    precision = "fp32"

    # AVX-512: 64 fp32 operations a cycle and core at about 2.6 GHz; VNNI has four times as many.
    # A core alone runs at up to 3.4 GHz.
    # DDR4: about 20 pJ a bit with its interface (Micron, DDR4 power calculator).
    # Host time, idle power and shares of the peak are typical ones, not the maker's.
    spec = Spec(
        kind="cpu",
        model="Xeon Platinum 8380 (40 cores)",
        source="Intel ARK; Intel 64 and IA-32 optimization manual",
        tflops={"fp32": 6.6, "int8": 26.4},
        vector_tflops=6.6,
        units=40,
        bandwidth_gb_s=204.8,
        cache_mb=60.0,
        cache_gb_s=2000.0,
        memory_mb=256000.0,
        power_w=270.0,
        static_w=60.0,
        pj_per_byte=150.0,
        eager_us=6.0,
        compiled_us=2.0,
        sustained=0.7,
        attention=0.45,
        fastest=1.3,
    )
