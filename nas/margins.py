"""How surely images are answered: what an evaluation tells beside its accuracy.

The margin of an image is the logit of the right class less the best of the others: above 0 the
answer is right. Margins of a fixed part of the validation images travel as text, a byte each.
"""

from __future__ import annotations

import base64
import binascii

import numpy as np

from nas.runtimes.base import FloatArray

NAME = "margins"
IMAGES = 512  # whose margins are told; all where there are fewer
LARGEST = 6.0  # beyond that an answer is certain
STEPS = 127


def encoded(margins_I: FloatArray) -> str:
    """Margins as text, rounded to ``LARGEST / STEPS``; one that is no number is a wrong answer."""
    clipped_I = np.clip(np.nan_to_num(margins_I, nan=-LARGEST), -LARGEST, LARGEST)
    rounded_I = np.rint(clipped_I * (STEPS / LARGEST)).astype(np.int8)
    return base64.b64encode(rounded_I.tobytes()).decode()


def decoded(text: object) -> FloatArray | None:
    """Margins of a text; None where it is none."""
    if not isinstance(text, str):
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    margins_I: FloatArray = np.frombuffer(data, np.int8).astype(np.float64) * (LARGEST / STEPS)
    return margins_I
