"""Weights and peak live bytes of one forward pass at the profile's batch, 10^6 bytes."""

from nas.objectives.objective import OBJECTIVES, Objective

OBJECTIVES.add(
    Objective(
        name="peak_memory_mb",
        label="peak memory",
        unit="MB",
        direction="min",
        cost="free",
    )
)
