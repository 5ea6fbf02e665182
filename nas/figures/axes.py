"""Metrics as axes: label, unit, direction, how a value is written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nas.figures.text import finite, plain, shown, shown_range
from nas.pareto import Direction

# For metrics that are no objectives of the run at hand; those bring their own label and unit.
_KNOWN: dict[str, tuple[str, str, Direction]] = {
    "accuracy": ("accuracy", "", "max"),
    "latency_ms": ("latency", "ms", "min"),
    "peak_memory_mb": ("peak memory", "MB", "min"),
    "params": ("parameters", "", "min"),
    "macs": ("MACs", "", "min"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A metric along an axis.

    Attributes:
        name: the metric, with its unit: ``latency_ms``.
        label: for people.
        unit: "" for pure numbers.
        direction: ``min`` or ``max``: which way is better.
        log: whether the axis is logarithmic.
    """

    name: str
    label: str
    unit: str = ""
    direction: Direction = "min"
    log: bool = False

    @property
    def title(self) -> str:
        """``latency [ms]``, safe for plotly."""
        unit = f" [{plain(self.unit, 20)}]" if self.unit else ""
        return plain(self.label, 60) + unit

    @property
    def tick_format(self) -> str:
        """Of d3: shares as percentages; on a log axis whole numbers, not plotly's lone digits."""
        if self.share:
            return ".0%"
        return ".3~r" if self.log else ""

    @property
    def share(self) -> bool:
        """Whether values are shares of one."""
        return "accuracy" in self.name

    def show(self, value: object) -> str:
        """A value with its unit."""
        return shown(self.name, value, self.unit)

    def show_range(self, low: object, high: object) -> str:
        """``0.18–0.21 ms``, "" where an end is missing."""
        return shown_range(self.name, low, high, self.unit)

    def drawable(self, value: object) -> float | None:
        """The value as a number that this axis can show, or None."""
        number = finite(value)
        return None if number is None or (self.log and number <= 0) else number

    def ticks(self, low: float, high: float) -> list[float] | None:
        """1, 2 and 5 of each decade between two positions; None where plotly chooses better.

        Left alone, plotly labels every digit of a decade, and they overlap on a phone.
        """
        if not self.log or not 0.75 <= high - low < 40:
            return None
        decades = range(math.floor(low), math.ceil(high) + 1)
        steps = (1, 2, 5) if high - low < 4 else (1,)
        return [digit * 10.0**decade for decade in decades for digit in steps]

    def position(self, value: float) -> float:
        """Where ``value`` stands in the axis' own coordinates, for ranges and annotations."""
        return math.log10(value) if self.log else value


def axis_of(name: str, objectives: Iterable[Mapping[str, Any]] = (), *, log: bool = False) -> Axis:
    """The axis of a metric; an objective's own label and unit come first."""
    label, unit, direction = _KNOWN.get(name) or _registered(name)
    for objective in objectives:
        if objective.get("name") == name:
            label, unit = str(objective.get("label", label)), str(objective.get("unit", unit))
            direction = "max" if objective.get("direction") == "max" else "min"
    return Axis(name=name, label=label, unit=unit, direction=direction, log=log)


def _registered(name: str) -> tuple[str, str, Direction]:
    """An objective's own words; the name of what is none. Nothing heavy is loaded for it."""
    from nas.objectives.objective import OBJECTIVES

    if name not in OBJECTIVES:
        return name, "", "min"
    known = OBJECTIVES[name]
    return known.label, known.unit, known.direction


def bounds_of(limits: Mapping[str, Any], axis: Axis) -> list[tuple[str, float]]:
    """The bounds of an axis' metric, each with its sign, ``≤`` or ``≥``.

    Args:
        limits: by metric: a number (the end that less good values reach), or a mapping of ``min``
            and ``max``; whatever else a file holds there is no bound.
        axis: that can show them.
    """
    stated = limits.get(axis.name)
    if not isinstance(stated, Mapping):
        stated = {"min" if axis.direction == "max" else "max": stated}
    ends = (("≤", axis.drawable(stated.get("max"))), ("≥", axis.drawable(stated.get("min"))))
    return [(sign, bound) for sign, bound in ends if bound is not None]
