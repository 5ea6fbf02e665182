"""What is told of the device that trains."""

from __future__ import annotations

import subprocess
import sys

PEAK = """
import numpy as np, torch
from nas.device import peak_memory_mb

device = torch.device("cpu")
below = np.ones(400_000_000, dtype=np.uint8)  # above whatever imports took and gave back
before = peak_memory_mb(device)
held = np.ones(400_000_000, dtype=np.uint8)
during = peak_memory_mb(device)
del held, below
print(before, during, peak_memory_mb(device))
"""


def test_the_peak_of_memory_grows_by_what_is_held_and_stays() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PEAK], capture_output=True, text=True, check=True, timeout=120
    )
    before, during, after = map(float, done.stdout.split())
    assert 395 < during - before < 405
    assert after > during - 1, "Linux counts in batches"
    assert 400 < before < 4000
