"""The fresh process of ``onnx_memory``: imports onnxruntime and numpy, nothing of ours.

Run as ``python onnx_child.py MODEL IMAGES THREADS``; prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def status_bytes(field: str) -> int:
    """A size of this process: ``VmRSS``, or its peak ``VmHWM``."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def main(model: str, images: str, threads: int) -> None:
    """Print by how many bytes a warm forward pass lets the peak grow."""
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    # By default the arena doubles with each growth, a pattern packs all tensors into one block, and
    # dead tensors are kept for later ones of their shape: what is resident is not what is alive.
    # Without, a tensor is allocated when it comes to be and freed after its last use.
    options.enable_cpu_mem_arena = options.enable_mem_pattern = options.enable_mem_reuse = False
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: np.load(images)}
    session.run(None, feed)  # pages of the library's own code are touched once
    _CLEAR_REFS.write_text(_RESET_PEAK)
    before = status_bytes("VmRSS")
    session.run(None, feed)
    sys.stdout.write(json.dumps({"growth_bytes": status_bytes("VmHWM") - before}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
