"""In which numbers a device multiplies."""

from __future__ import annotations

import torch

from search_spaces.errors import UserError

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_CPU_BF16 = ("avx512_bf16", "amx_bf16", "bf16", "avx512bf16")


def resolve_precision(name: str, device: torch.device) -> str:
    """``auto`` as one of fp32, bf16 and fp16; what the device cannot do well is refused.

    Raises:
        UserError: the device has no such numbers, or only in emulation.
    """
    if name == "auto":
        if device.type != "cuda":
            return "fp32"  # a CPU gains little in nets this small
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if name == "fp16" and device.type == "cpu":
        raise UserError("retrain.precision='fp16': allowed on a CPU is fp32 or bf16")
    if name == "bf16" and device.type == "cpu" and not cpu_has_bf16():
        raise UserError("retrain.precision='bf16': this CPU only emulates it: allowed is fp32")
    return name


def cpu_has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 itself."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            flags = next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:
        return False
    return any(flag in _CPU_BF16 for flag in flags.split())
