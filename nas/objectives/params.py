"""Number of parameters, the task's head included."""

from nas.objectives.objective import OBJECTIVES, Objective

OBJECTIVES.add(
    Objective(
        name="params",
        label="parameters",
        unit="",
        direction="min",
        cost="free",
    )
)
