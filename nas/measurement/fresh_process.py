"""Peak memory of a forward pass as growth of a fresh process's resident set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

_TIMEOUT_S = 300.0
_CHILD = Path(__file__).with_name("memory_child.py")

# Freed memory goes back to the system at once, however small: what is resident is what is alive.
_TIGHT = {
    "MALLOC_MMAP_THRESHOLD_": "16384",
    "MALLOC_TRIM_THRESHOLD_": "0",
    "MALLOC_TOP_PAD_": "0",
    "MALLOC_ARENA_MAX": "1",
}


def activation_mb(
    runtime: str, content: bytes, images: npt.NDArray[np.float32], threads: int
) -> float | None:
    """Peak bytes of one warm forward pass, input included, weights excluded, in 10^6 bytes.

    Args:
        runtime: one of those that ``memory_child`` knows.
        content: a serialised ONNX model.
        images: (B, C, H, W), of the shape it takes.
        threads: of the runtime.

    Returns:
        None where the process fails, and where the system does not tell (it needs Linux's
        ``/proc``).
    """
    with tempfile.TemporaryDirectory(prefix="formfinder-memory-") as name:
        model, example = Path(name, "model.onnx"), Path(name, "images.npy")
        model.write_bytes(content)
        np.save(example, images)
        # Isolated: a fresh interpreter with nothing of ours, torch least of all, in memory.
        told = [runtime, str(model), str(example), str(threads)]
        try:
            found = subprocess.run(
                [sys.executable, "-I", str(_CHILD), *told],
                env={**os.environ, **_TIGHT},
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=True,
            )
        except subprocess.SubprocessError:
            return None
    growth: int = json.loads(found.stdout.splitlines()[-1])["growth_bytes"]
    return (growth + images.nbytes) / 1e6
