"""Predicted time of one call at the profile's batch, milliseconds."""

from nas.objectives.objective import OBJECTIVES, Objective

OBJECTIVES.add(
    Objective(
        name="latency_ms",
        label="latency",
        unit="ms",
        direction="min",
        cost="free",
        intervals=True,
    )
)
