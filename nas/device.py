"""Which torch device trains and evaluates, and how many threads it may use."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from search_spaces.errors import UserError, unknown_name

if TYPE_CHECKING:
    import torch

NAMES = ("auto", "cpu", "cuda", "mps")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP_BYTES = 1 << 30


def torch_device(name: str) -> torch.device:
    """The device called ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        UserError: unknown, or not on this machine.
    """
    import torch

    if name not in NAMES:
        raise unknown_name("device", name, NAMES)
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.mps.is_available()}
    if name == "auto":
        return torch.device(next(n for n in ("cuda", "mps", "cpu") if there[n]))
    if not there[name]:
        found = ", ".join(n for n, is_there in there.items() if is_there)
        raise UserError(f"device={name!r} is not on this machine (found: {found})")
    return torch.device(name)


PARALLEL_ELEMENTS = 400_000


@contextmanager
def threads_for(elements: int) -> Iterator[int]:
    """Set torch's threads for work on activations of so many elements, and set them back.

    Below ``PARALLEL_ELEMENTS`` a kernel is over before its threads have met: one thread is as
    fast on an idle machine, and several times faster on a busy one. The rule looks at sizes only,
    never at a clock, so a resumed run computes with the threads it began with.

    Yields:
        The number of threads.
    """
    import torch

    before = torch.get_num_threads()
    threads = before if elements >= PARALLEL_ELEMENTS else 1
    torch.set_num_threads(threads)
    try:
        yield threads
    finally:
        torch.set_num_threads(before)


def keep_large_blocks() -> None:
    """Ask the C allocator to keep large blocks instead of returning them after each use.

    Activations are freed and allocated again all the time; every return to the system costs page
    faults. Does nothing where the C library is not glibc.
    """
    if os.name != "posix":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)


def peak_memory_mb(device: torch.device) -> float:
    """The most memory that this process has held so far, on ``device``, in MB."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "linux":  # what getrusage tells there may be a parent's
        from nas.measurement.memory_child import status_bytes

        return status_bytes("VmHWM") / 1e6
    if os.name != "posix":
        import psutil

        held: Any = psutil.Process().memory_info()
        return float(held.peak_wset) / 1e6
    import resource

    kept = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kept / 1e6 if sys.platform == "darwin" else kept * 1024 / 1e6
