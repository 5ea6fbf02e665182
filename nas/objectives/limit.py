"""An objective as a hard limit instead."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nas.objectives.objective import Objective
from nas.pareto import to_costs
from search_spaces.errors import bad_value


@dataclass(frozen=True, slots=True)
class Limit:
    """``constraints.latency_ms=2.0``: an upper bound where less is better, else a lower one.

    Attributes:
        objective: the metric.
        bound: in the metric's unit; the bound itself is allowed.

    Raises:
        UserError: the bound is no finite number.
    """

    objective: Objective
    bound: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.bound):
            raise bad_value(f"constraints.{self.objective.name}", self.bound, "a finite number")

    def violation(self, value: float) -> float:
        """How far ``value`` is on the wrong side, as a share of the bound; at most 0 if it holds.

        Relative, because violations of several limits are added up. NaN violates without measure.
        """
        if math.isnan(value):
            return math.inf
        cost, bound = to_costs([[value], [self.bound]], [self.objective.direction])[:, 0]
        return float(cost - bound) / (abs(self.bound) or 1.0)

    def holds(self, value: float) -> bool:
        """Whether ``value`` is allowed."""
        return self.violation(value) <= 0

    def __str__(self) -> str:
        sign = "≥" if self.objective.direction == "max" else "≤"
        unit = f" {self.objective.unit}" if self.objective.unit else ""
        return f"{self.objective.name} {sign} {self.bound:g}{unit}"


def unmet(limits: Iterable[Limit], values: Mapping[str, float]) -> list[Limit]:
    """The limits that the known ``values`` break; metrics that are not known yet break none."""
    return [
        limit
        for limit in limits
        if limit.objective.name in values and not limit.holds(values[limit.objective.name])
    ]
