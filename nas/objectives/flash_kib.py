"""Weights in a microcontroller's flash, int8, 1 KiB = 1024 bytes."""

from nas.objectives.objective import OBJECTIVES, Objective

OBJECTIVES.add(
    Objective(
        name="flash_kib",
        label="flash",
        unit="KiB",
        direction="min",
        cost="free",
    )
)
