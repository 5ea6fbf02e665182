"""The first CUDA device of this computer."""

from __future__ import annotations

import subprocess
from dataclasses import replace

from nas.hardware.device import DEVICES, Device
from nas.hardware.machine import Machine, this_machine
from nas.hardware.profile import HardwareConfig


@DEVICES.register
class Cuda(Device):
    """A GPU as torch sees it; ``CUDA_VISIBLE_DEVICES`` chooses among several."""

    name = "cuda"
    summary = "this computer's first CUDA device"

    def default(self) -> HardwareConfig:
        return HardwareConfig(device="cuda", runtime="cuda_eager")

    def unavailable(self) -> str | None:
        import torch  # not at the top: listing devices must not load it

        return None if torch.cuda.is_available() else "torch sees no CUDA device"

    def machine(self, threads: int) -> Machine:
        """The GPU in place of the processor: its name, memory and multiprocessors."""
        import torch

        host = this_machine(threads)
        if not torch.cuda.is_available():
            return replace(host, processor="no CUDA device")
        seen = torch.cuda.get_device_properties(0)
        versions = {**host.versions, "cuda": torch.version.cuda or "none", "driver": driver()}
        return replace(
            host,
            processor=f"{seen.name} (host: {host.processor})",
            cores=seen.multi_processor_count,
            memory_mb=seen.total_memory // 10**6,
            versions=versions,
        )


def driver() -> str:
    """Version of the GPU's driver, "unknown" where its tool is not installed."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.stdout.strip() or "unknown"
