"""An objective as a hard limit instead."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nas.objectives.objective import Objective
from search_spaces.errors import UserError, bad_value, unknown_name

Side = Literal["max", "min"]
_PARTS = ("max", "min", "confidence")


@dataclass(frozen=True, slots=True)
class Limit:
    """One end of what a metric may be: ``constraints.latency_ms=2.0`` is its upper end.

    Attributes:
        objective: the metric.
        bound: in the metric's unit; the bound itself is allowed.
        side: ``max`` (an upper bound) or ``min``; "" becomes the end that less good values reach.
        confidence: probability with which a predicted metric has to keep the bound; None: its
            expected value has to.

    Raises:
        UserError: the bound is no finite number, or the metric has no intervals to be confident by.
    """

    objective: Objective
    bound: float
    side: Side | Literal[""] = ""
    confidence: float | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.bound):
            raise bad_value(f"constraints.{self.objective.name}", self.bound, "a finite number")
        if not self.side:
            side = "min" if self.objective.direction == "max" else "max"
            object.__setattr__(self, "side", side)
        if self.confidence is None:
            return
        field = f"constraints.{self.objective.name}.confidence"
        if not self.objective.intervals:
            raise bad_value(
                field, self.confidence, "null: this metric is not predicted with intervals"
            )
        if not 0.5 <= self.confidence < 1:
            raise bad_value(field, self.confidence, "a probability of 0.5 or more, below 1")

    @property
    def metric(self) -> str:
        """The name of the value that is held against the bound: the metric, or its quantile."""
        if self.confidence is None:
            return self.objective.name
        return quantile_name(self.objective.name, self.quantile)

    @property
    def quantile(self) -> float:
        """Of the prediction, where there is a confidence: the upper one for an upper bound."""
        confidence = 0.5 if self.confidence is None else self.confidence
        return round(confidence if self.side == "max" else 1 - confidence, 9)

    def violation(self, value: float) -> float:
        """How far ``value`` is on the wrong side, as a share of the bound; at most 0 if it holds.

        Relative, because violations of several limits are added up. NaN violates without measure.
        """
        if math.isnan(value):
            return math.inf
        return float(self.excess(np.float64(value)))

    def excess(self, values: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
        """``violation`` of a column of values; NaN stays NaN."""
        beyond = values - self.bound if self.side == "max" else self.bound - values
        return np.asarray(beyond / (abs(self.bound) or 1.0))

    def holds(self, value: float) -> bool:
        """Whether ``value`` is allowed."""
        return self.violation(value) <= 0

    def __str__(self) -> str:
        sign = "≤" if self.side == "max" else "≥"
        unit = f" {self.objective.unit}" if self.objective.unit else ""
        sure = "" if self.confidence is None else f" with {self.confidence:.4g} confidence"
        return f"{self.objective.name} {sign} {self.bound:g}{unit}{sure}"

    @property
    def asked(self) -> str:
        """As it is written on the command line."""
        usual = "min" if self.objective.direction == "max" else "max"
        name = f"constraints.{self.objective.name}"
        if self.confidence is not None:
            return f"{name}={{{self.side}: {self.bound:g}, confidence: {self.confidence:g}}}"
        if self.side == usual:
            return f"{name}={self.bound:g}"
        return f"{name}={{{self.side}: {self.bound:g}}}"


def quantile_name(metric: str, quantile: float) -> str:
    """The name under which a quantile of a predicted metric stands beside its expected value."""
    return f"{metric}@{quantile:g}"


def read_limits(objective: Objective, value: Any) -> tuple[Limit, ...]:
    """The limits of ``constraints.METRIC=value``, the upper end first; none where it is null.

    Args:
        objective: the metric.
        value: a number (the end that less good values reach), or a mapping of ``min``, ``max`` and
            ``confidence``.

    Raises:
        UserError: it cannot be read, a bound is out of the metric's domain, or both contradict.
    """
    field = f"constraints.{objective.name}"
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        return (Limit(objective, _number(objective, field, value)),)
    for name in value:
        if name not in _PARTS:
            raise unknown_name(field, str(name), _PARTS)
    confidence = value.get("confidence")
    if confidence is not None and not _is_number(confidence):
        raise bad_value(f"{field}.confidence", confidence, "a probability from 0.5 to 1")
    sides: tuple[Side, ...] = ("max", "min")
    made = tuple(
        Limit(objective, _number(objective, f"{field}.{side}", value[side]), side, confidence)
        for side in sides
        if value.get(side) is not None
    )
    if not made:
        raise bad_value(field, dict(value), "a number, or {max: …}, {min: …} or both")
    if len(made) == 2 and made[1].bound > made[0].bound:
        raise UserError(
            f"{field}.min={made[1].bound:g} and {field}.max={made[0].bound:g} contradict each "
            "other: allowed is a min of at most the max"
        )
    return made


def describe_limits(limits: Iterable[Limit]) -> dict[str, Any]:
    """Limits as JSON values by metric, as a configuration states them: the inverse of reading."""
    made: dict[str, Any] = {}
    for limit in limits:
        usual = "min" if limit.objective.direction == "max" else "max"
        known = made.get(limit.objective.name)
        if known is None and limit.confidence is None and limit.side == usual:
            made[limit.objective.name] = limit.bound
            continue
        if not isinstance(known, dict):
            known = {} if known is None else {usual: known}
        known[limit.side] = limit.bound
        if limit.confidence is not None:
            known["confidence"] = limit.confidence
        made[limit.objective.name] = known
    return made


def unmet(limits: Iterable[Limit], values: Mapping[str, float]) -> list[Limit]:
    """The limits that the known ``values`` break; metrics that are not known yet break none."""
    return [
        limit
        for limit in limits
        if limit.metric in values and not limit.holds(values[limit.metric])
    ]


def violations(limits: Iterable[Limit], values: Mapping[str, float]) -> dict[str, float]:
    """The larger violation of each known metric's ends, by the metric's name."""
    made: dict[str, float] = {}
    for limit in limits:
        if limit.metric in values:
            name, found = limit.objective.name, limit.violation(values[limit.metric])
            made[name] = max(found, made.get(name, -math.inf))
    return made


def _number(objective: Objective, field: str, value: Any) -> float:
    top = 1.0 if objective.name == "accuracy" else math.inf
    if not _is_number(value):
        raise bad_value(field, value, "a number or null, or {max: a, min: b, confidence: c}")
    if not (0 < value < math.inf and value <= top):
        raise bad_value(field, value, "0 to 1" if top == 1 else "a number above 0")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
