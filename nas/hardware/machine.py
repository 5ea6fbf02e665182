"""A description of the computer a figure was taken on: part of every figure's provenance."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_VERSIONED = ("torch", "onnxruntime", "numpy")
_CPUINFO = Path("/proc/cpuinfo")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One computer at one time.

    Attributes:
        processor: model name of the processor.
        cores: cores that this process may use.
        memory_mb: installed memory in 10^6 bytes.
        system: operating system and architecture.
        governor: frequency governor, or "unknown" (virtual machines hide it).
        threads: threads that the measured forward passes use.
        versions: package → version, Python included.
        date: UTC, ISO 8601, to the second.
    """

    processor: str
    cores: int
    memory_mb: int
    system: str
    governor: str
    threads: int
    versions: dict[str, str]
    date: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def same_as(self, other: Machine) -> bool:
        """Whether figures of both may stand in one table: same processor and same versions."""
        return self.processor == other.processor and self.versions == other.versions


def this_machine(threads: int) -> Machine:
    """Describe the computer this process runs on; imports none of the packages it names."""
    import psutil

    return Machine(
        processor=processor_name(),
        cores=usable_cores(),
        memory_mb=psutil.virtual_memory().total // 10**6,
        system=f"{platform.system()} {platform.machine()}",
        governor=_first_line(_GOVERNOR) or "unknown",
        threads=threads,
        versions=versions(),
        date=now(),
    )


def now() -> str:
    """The date as records carry it: UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that latencies depend on."""
    found = {"python": platform.python_version()}
    for package in _VERSIONED:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # an absent runtime cannot have influenced a figure
    return found


def usable_cores() -> int:
    """Cores this process may run on, which a container or ``taskset`` can make few."""
    import psutil

    try:
        return len(psutil.Process().cpu_affinity() or [])
    except AttributeError:  # macOS has no affinity
        return psutil.cpu_count() or 1


def processor_name() -> str:
    """Model name of the processor; the architecture where the system does not tell."""
    try:
        for line in _CPUINFO.read_text().splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _first_line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
