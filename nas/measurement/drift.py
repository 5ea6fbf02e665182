"""Drift: a machine that is slower for a while is recognised by a model that never changes."""

from __future__ import annotations

import numpy as np

from nas.runtimes.base import FloatArray

_WINDOW = 9


def smooth(reference_S: FloatArray, window: int = _WINDOW) -> FloatArray:
    """The running median of the reference's times, taken beside slots 0..S-1 in order of time.

    A single reference time is noisier than the drift it shall show: on a busy machine, dividing
    by it made repeats worse (0.6 % to 3.3 % MAPE), dividing by the median of nine did not, and
    corrected what drift there was. A lone disturbance of the reference leaves no trace.

    Args:
        reference_S: times of the reference in ms.
        window: slots a median is taken over, fewer at the ends.
    """
    half = window // 2
    parts = [reference_S[max(0, i - half) : i + half + 1] for i in range(len(reference_S))]
    return np.array([np.median(part) for part in parts], dtype=np.float64)
