"""Share of the validation images that are classified rightly."""

from nas.objectives.objective import OBJECTIVES, Objective

OBJECTIVES.add(
    Objective(
        name="accuracy",
        label="accuracy",
        unit="",
        direction="max",
        cost="expensive",
        worst=0.0,
    )
)
