"""Intervals that hold as often as they say, from held-out errors alone.

The jackknife in folds with relative errors (Barber et al. 2021, Ann. Statist. 49:1, section 1.1):
the error of a new network ranks among the held-out ones like any of them, as far as a predictor
that has not seen one fold errs like one that has seen all. Folds are small for that reason, see
``crossval.FOLDS``. One factor serves all networks, so that it can be a limit on columns.
"""

from __future__ import annotations

import math

import numpy as np

from nas.runtimes.base import FloatArray
from search_spaces.errors import bad_value


def half_width(log_error_B: FloatArray, confidence: float) -> float:
    """The factor exp(w) around a prediction that covers the truth with ``confidence``.

    Args:
        log_error_B: (B,), log(measured / held-out prediction).
        confidence: share of networks inside, between 0 and B / (B + 1).

    Raises:
        UserError: there are too few measurements for this confidence.
    """
    return _ranked(np.abs(log_error_B), confidence)


def upper(log_error_B: FloatArray, confidence: float) -> float:
    """The factor exp(u) that a network exceeds only with probability 1 - ``confidence``.

    Raises:
        UserError: there are too few measurements for this confidence.
    """
    return _ranked(log_error_B, confidence)


def _ranked(errors: FloatArray, confidence: float) -> float:
    count = len(errors)
    rank = math.ceil((count + 1) * confidence - 1e-9)
    if not 0 < confidence < 1 or rank > count:
        allowed = f"between 0 and {count / (count + 1):.2f} with {count} measured networks"
        raise bad_value("confidence", confidence, allowed)
    return float(np.sort(errors)[rank - 1])
