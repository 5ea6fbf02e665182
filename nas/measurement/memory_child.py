"""The fresh process of ``fresh_process``: imports one runtime and numpy, nothing of ours.

Run as ``python memory_child.py RUNTIME MODEL IMAGES THREADS``; prints one line of JSON.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"

Pass = Callable[[], Any]


def status_bytes(field: str) -> int:
    """A size of this process: ``VmRSS``, or its peak ``VmHWM``."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def onnxruntime_pass(model: str, images: Any, threads: int) -> Pass:
    """A warm pass of ONNX Runtime."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    # By default the arena doubles with each growth, a pattern packs all tensors into one block, and
    # dead tensors are kept for later ones of their shape: what is resident is not what is alive.
    # Without, a tensor is allocated when it comes to be and freed after its last use.
    options.enable_cpu_mem_arena = options.enable_mem_pattern = options.enable_mem_reuse = False
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: images}
    session.run(None, feed)  # pages of the library's own code are touched once
    return lambda: session.run(None, feed)


def openvino_pass(model: str, images: Any, threads: int) -> Pass:
    """A pass of OpenVINO that has to take its block of tensors anew."""
    import openvino

    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = openvino.Core().compile_model(model, "CPU", options)
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(images, shared_memory=True))
    request.infer()
    compiled.release_memory()
    # Else the block would go into holes of the heap, whose pages are resident already.
    ctypes.CDLL(None).malloc_trim(0)

    def forward() -> Any:
        request.infer()
        return compiled, images  # the request only borrows them

    return forward


PASSES = {"onnxruntime": onnxruntime_pass, "openvino": openvino_pass}


def main(runtime: str, model: str, images: str, threads: int) -> None:
    """Print by how many bytes a forward pass lets the peak grow."""
    import numpy as np

    forward = PASSES[runtime](model, np.load(images), threads)
    _CLEAR_REFS.write_text(_RESET_PEAK)
    before = status_bytes("VmRSS")
    forward()
    sys.stdout.write(json.dumps({"growth_bytes": status_bytes("VmHWM") - before}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
