"""What an objective says about itself; values come in a dict ``{name: value}``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nas.pareto import Direction
from search_spaces.registry import Registry

CostClass = Literal["free", "cheap", "expensive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A metric that can be searched for or limited.

    Attributes:
        name: as in configurations, files and values, with its unit: ``latency_ms``.
        label: for people, without the unit.
        unit: "" for pure numbers.
        direction: ``min`` or ``max``.
        cost: ``free`` (closed form or predicted: known before anything is evaluated), ``cheap`` or
            ``expensive`` (both come from an evaluator; free ones are checked before).
        worst: what a candidate is booked with that is not paid for because it breaks a limit.
        derive: for a free metric that is made of others: their values by name to its own. Given
            numbers for one network and columns ``(B,)`` for a batch of candidates. The profile's
            ``batch`` stands among them.
        intervals: whether predictions of it come with quantiles, so that a limit may ask for a
            confidence.
        kind: what a derived value is called: ``estimated`` where the formula only tells its size;
            by default what the latency is that it is made of.
    """

    name: str
    label: str
    unit: str
    direction: Direction
    cost: CostClass
    worst: float = math.nan
    derive: Callable[[Mapping[str, Any]], Any] | None = None
    intervals: bool = False
    kind: Literal["estimated"] | None = None

    def __post_init__(self) -> None:
        if math.isnan(self.worst):
            worst = -math.inf if self.direction == "max" else math.inf
            object.__setattr__(self, "worst", worst)

    @property
    def free(self) -> bool:
        """Whether the value is known without an evaluation."""
        return self.cost == "free"

    @property
    def title(self) -> str:
        """Label and unit: ``latency [ms]``."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


OBJECTIVES: Registry[Objective] = Registry("objective", "nas.objectives")
