"""Energy counters of the machine: RAPL of processors, NVML of NVIDIA boards.

Virtual machines and containers often hide both, and since 2020 Linux shows RAPL to root alone
(CVE-2020-8694): then there is no counter, and energies stay estimates.
"""

from __future__ import annotations

import importlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")
SECONDS = 1.0


class EnergyCounter(ABC):
    """Counts joules from an arbitrary start.

    Attributes:
        name: as provenance states it.
    """

    name: str

    @abstractmethod
    def joules(self) -> float:
        """Energy drawn so far, J; never less than at the last call."""


class Rapl(EnergyCounter):
    """All packages of the machine (Linux powercap): whatever else runs on it counts as well.

    Args:
        domains: folders ``intel-rapl:N`` whose counter can be read.
    """

    name = "RAPL"

    def __init__(self, domains: list[Path]) -> None:
        self._domains = domains
        self._range_uj = [_number(domain / "max_energy_range_uj") for domain in domains]
        self._last_uj = self._read()
        self._sum_uj = 0

    def joules(self) -> float:
        now_uj = self._read()
        for now, last, span in zip(now_uj, self._last_uj, self._range_uj, strict=True):
            self._sum_uj += now - last if now >= last else now - last + span  # it wraps around
        self._last_uj = now_uj
        return self._sum_uj / 1e6

    def _read(self) -> list[int]:
        return [_number(domain / "energy_uj") for domain in self._domains]


class Nvml(EnergyCounter):
    """One board, from the driver's counter.

    Args:
        nvml: the module ``pynvml``, initialised.
        handle: of the board.
    """

    name = "NVML"

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle

    def joules(self) -> float:
        return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1e3


def counter_for(device: str, powercap: Path = POWERCAP) -> EnergyCounter | None:
    """The counter of a device that is at hand; None where there is none or it cannot be read."""
    if device == "cuda":
        return _nvml()
    return _rapl(powercap) if device == "cpu" else None


def mj_per_call(
    counter: EnergyCounter,
    call: Callable[[], object],
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[float, int]:
    """(millijoules of one call, calls): as many as fit into ``seconds``, at least one.

    The counters move about once a millisecond, so that single calls would tell nothing.
    """
    began, start_j, calls = clock(), counter.joules(), 0
    while not calls or clock() - began < seconds:
        call()
        calls += 1
    return (counter.joules() - start_j) / calls * 1e3, calls


def _rapl(powercap: Path) -> Rapl | None:
    packages = [d for d in sorted(powercap.glob("intel-rapl:*")) if d.name.count(":") == 1]
    try:
        return Rapl(packages) if packages else None
    except (OSError, ValueError):  # not allowed, or no counter behind the file
        return None


def _nvml() -> Nvml | None:
    try:
        pynvml: Any = importlib.import_module("pynvml")  # nvidia-ml-py, where it is installed
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        found = Nvml(pynvml, pynvml.nvmlDeviceGetHandleByIndex(0))
        found.joules()
    except pynvml.NVMLError:
        return None
    return found


def _number(path: Path) -> int:
    return int(path.read_text())
