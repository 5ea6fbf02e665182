"""This computer's processor as a spec sheet, read from what the system tells of it."""

from __future__ import annotations

from pathlib import Path

from nas.hardware.machine import processor_name, usable_cores
from nas.roofline.spec import Spec

CPUINFO = Path("/proc/cpuinfo")
MAX_KHZ = Path("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
DEFAULT_MHZ = 3000.0
TURBO = 1.4
"""Clock under load over the nominal one. By their spec sheets EPYC 9654 has 2.4 and 3.55 GHz (all
cores), EPYC 7763 2.45 and 3.5, Xeon 8380 2.3 and 3.0, Xeon 8480+ 2.0 and 3.0."""


def host_spec(cpuinfo: Path = CPUINFO, max_khz: Path = MAX_KHZ) -> Spec:
    """What this processor should reach: vector width × clock × cores. An estimate, like all.

    Memory bandwidth and power are no part of what a system tells: 12 GB/s and 6 W a core are
    typical of today's servers and laptops.
    """
    fields = _fields(cpuinfo)
    cores = max(usable_cores(), 1)
    tflops = cores * flops_per_cycle(fields) * clock_ghz(fields, max_khz) / 1e3
    return Spec(
        kind="cpu",
        model=processor_name(),
        source="/proc/cpuinfo",
        tflops={"fp32": tflops, "int8": 4 * tflops},
        vector_tflops=tflops,
        units=cores,
        bandwidth_gb_s=12.0 * cores,
        cache_mb=2.0 * cores,
        cache_gb_s=50.0 * cores,
        memory_mb=1000.0,
        power_w=6.0 * cores,
        static_w=1.5 * cores,
        pj_per_byte=150.0,
        eager_us=6.0,
        compiled_us=2.0,
        sustained=0.9,
        attention=0.6,
    )


def clock_ghz(fields: dict[str, str], max_khz: Path = MAX_KHZ) -> float:
    """The clock under load, GHz.

    ``cpu MHz`` is the clock of the moment, on an idle machine a low one; the highest one stands
    elsewhere. A virtual machine is told neither: there it is the nominal clock.
    """
    try:
        return float(max_khz.read_text()) / 1e6
    except (OSError, ValueError):
        nominal = float(fields.get("cpu MHz", DEFAULT_MHZ)) / 1e3
        virtual = "hypervisor" in fields.get("flags", "").split()
        return nominal * TURBO if virtual else nominal


def flops_per_cycle(fields: dict[str, str]) -> int:
    """fp32 operations a cycle and core: two vector units, a multiply-add is two."""
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    if "avx512f" in flags:
        # AMD runs 512-bit multiply-adds in two halves before family 26 (Zen 5).
        halves = fields.get("vendor_id") == "AuthenticAMD" and int(fields.get("cpu family", 0)) < 26
        return 32 if halves else 64
    return 32 if "fma" in flags else 16  # 16: SSE or NEON with two 128-bit units


def _fields(cpuinfo: Path) -> dict[str, str]:
    """The first processor's lines."""
    try:
        lines = cpuinfo.read_text().split("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}
