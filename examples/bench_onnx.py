"""Measure one ONNX model on the device this runs on. Needs Python, onnxruntime and numpy, no more.

    python bench_onnx.py MODEL RUNS [THREADS] [IMAGES]    MODEL may be - for standard input
    python bench_onnx.py --describe

Copy it to the device and let Formfinder call it:

    hardware.pi.command="ssh pi python3 bench_onnx.py - {runs} {threads}"
    hardware.pi.describe="ssh pi python3 bench_onnx.py --describe"
"""

import json
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

WARM_UP = 10


def describe():
    versions = {"python": platform.python_version(), "onnxruntime": ort.__version__}
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    system = f"{platform.system()} {platform.machine()}"
    return {"processor": name, "cores": os.cpu_count(), "system": system, "versions": versions}


def bench(model, runs, threads=1, images=None):
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = int(threads), 1
    content = sys.stdin.buffer.read() if model == "-" else Path(model).read_bytes()
    try:
        session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the device cannot run this model: that is an answer too
        return {"unsupported": str(error).splitlines()[0]}
    wanted = session.get_inputs()[0]
    feed = {wanted.name: np.load(images) if images else np.zeros(wanted.shape, np.float32)}
    for _ in range(WARM_UP):
        logits = session.run(None, feed)[0]
    latencies_ms = []
    for _ in range(int(runs)):
        start = time.perf_counter()
        session.run(None, feed)
        latencies_ms.append((time.perf_counter() - start) * 1e3)
    return {"latencies_ms": latencies_ms, "logits": logits.tolist()}


if __name__ == "__main__":
    print(json.dumps(describe() if sys.argv[1] == "--describe" else bench(*sys.argv[1:])))  # noqa: T201
