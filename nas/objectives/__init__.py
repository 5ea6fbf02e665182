"""What is searched for: objectives, one file per member, and the limits made of them."""

from nas.objectives.limit import Limit, describe_limits, read_limits, unmet, violations
from nas.objectives.objective import OBJECTIVES, CostClass, Objective

__all__ = [
    "OBJECTIVES",
    "CostClass",
    "Limit",
    "Objective",
    "describe_limits",
    "read_limits",
    "unmet",
    "violations",
]
