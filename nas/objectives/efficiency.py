"""Efficiency score: parameters and latency in one number (EfficientFormerV2, #33, eq. 4).

``MES = 100 · ∏ (M_i / U_i)^−α_i`` over size (U = 3 M parameters, α = 0.5) and latency (U = 1 ms,
α = 1). It says nothing of accuracy: a column beside the objectives, not one to search for alone.
"""

from collections.abc import Mapping
from typing import Any

from nas.objectives.objective import OBJECTIVES, Objective

UNITS = {"params": (3e6, 0.5), "latency_ms": (1.0, 1.0)}


def efficiency(known: Mapping[str, Any]) -> Any:
    """The score of one network, or of columns ``(B,)``, from ``params`` and ``latency_ms``."""
    score: Any = 100.0
    for name, (unit, power) in UNITS.items():
        score = score * (known[name] / unit) ** -power
    return score


OBJECTIVES.add(
    Objective(
        name="efficiency",
        label="efficiency score",
        unit="",
        direction="max",
        cost="free",
        derive=efficiency,
    )
)
