"""Multiply-adds of one image; what is counted: ``supernet/workload.py``."""

from nas.objectives.objective import OBJECTIVES, Objective

OBJECTIVES.add(
    Objective(
        name="macs",
        label="MACs",
        unit="",
        direction="min",
        cost="free",
    )
)
