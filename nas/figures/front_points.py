"""What a front figure is drawn from, reduced to points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nas.figures.axes import Axis, axis_of
from nas.figures.text import plain
from nas.pareto import non_dominated

if TYPE_CHECKING:
    from nas.figures.cloud import TrialColumns
    from nas.front import Member, Metric
    from nas.study.trials import FinishedTrial

_METRICS = ("accuracy", "latency_ms", "peak_memory_mb", "params", "macs")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontSeries:
    """One run's share of the picture.

    Attributes:
        name: of the run.
        trials: the finished trials of its study.
        members: of its verified front.
        winner: digest of the exported member.
        cloud: the trials as columns instead: thousands of them are drawn as fast as few.
    """

    name: str
    trials: Sequence[FinishedTrial] = ()
    members: Sequence[Member] = ()
    winner: str | None = None
    cloud: TrialColumns | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """A marker.

    Attributes:
        x, y: values.
        hover: what it says, lines joined by ``<br>``, escaped.
        digest: of the architecture, for clicks.
    """

    x: float
    y: float
    hover: str
    digest: str


@dataclass(frozen=True, slots=True)
class Star(Point):
    """A baseline; ``digest`` is its name.

    Attributes:
        run: where it is stored.
    """

    run: str


def measured(member: Member, axis: Axis) -> float | None:
    """The verified value of a member, if the axis can show it."""
    metric = member.metrics.get(axis.name)
    return None if metric is None else axis.drawable(metric.value)


def predicted(member: Member, axis: Axis) -> float | None:
    """What the search believed; the verified value where it believed nothing."""
    metric = member.metrics.get(axis.name)
    believed = believed_value(metric)
    return measured(member, axis) if believed is None else axis.drawable(believed)


def believed_value(metric: Metric | None) -> object:
    """The prediction that a metric carries, whatever the file holds there."""
    known = None if metric is None else metric.predicted
    return known.get("value") if isinstance(known, Mapping) else None


def drawable(members: Iterable[Member], x: Axis, y: Axis) -> list[Member]:
    """The members that have both values."""
    return [m for m in members if measured(m, x) is not None and measured(m, y) is not None]


def member_points(members: Sequence[Member], x: Axis, y: Axis, series: str) -> list[Point]:
    """A point for each of ``drawable`` members."""
    return [
        Point(
            measured(m, x) or 0.0, measured(m, y) or 0.0, member_hover(m, (x, y), series), m.digest
        )
        for m in members
    ]


def member_hover(member: Member, axes: Sequence[Axis], series: str) -> str:
    """All that is known of a member, a line per metric."""
    known = {axis.name: axis for axis in axes}
    lines = [f"<b>{member.digest}</b>  {plain(series, 60)}"]
    for name in dict.fromkeys([*known, *_METRICS]):
        metric, axis = member.metrics.get(name), known.get(name) or axis_of(name)
        if metric is None:
            continue
        line = f"{plain(axis.label, 60)}: {axis.show(metric.value)}"
        between = axis.show_range(metric.low, metric.high)
        line += f" ({between})" if between else ""
        if believed_value(metric) is not None:
            line += f", predicted {axis.show(believed_value(metric))}"
        lines.append(line)
    marks = [("tied with the most accurate", member.tied), ("dominated", member.dominated)]
    lines += [f"<i>{mark}</i>" for mark, holds in marks if holds is True]
    return "<br>".join(lines)


def trial_points(
    trials: Iterable[FinishedTrial], x: Axis, y: Axis, *, feasible: bool, most: int | None
) -> list[Point]:
    """The complete trials that keep (or break) the limits and have both values.

    Args:
        trials: of one study.
        x, y: the axes.
        feasible: which of the two.
        most: evenly chosen ones at most: a vector drawing of 20,000 is no longer usable.
    """
    found = []
    for trial in trials:
        if trial.state == "complete" and trial.feasible is feasible:
            at_x = x.drawable(trial.metrics.get(x.name))
            at_y = y.drawable(trial.metrics.get(y.name))
            if at_x is not None and at_y is not None:
                found.append((trial, at_x, at_y))
    if most is not None and len(found) > most:
        found = [found[i * len(found) // most] for i in range(most)]
    x_label, y_label = plain(x.label, 60), plain(y.label, 60)
    points = []
    for trial, at_x, at_y in found:
        digest = plain(trial.digest, 20)
        hover = f"trial {trial.number}  {digest}<br>{x_label}: {x.show(at_x)}"
        points.append(Point(at_x, at_y, f"{hover}<br>{y_label}: {y.show(at_y)}", digest))
    return points


def partial_points(
    trials: Iterable[FinishedTrial], x: Axis, y: Axis, *, most: int | None
) -> list[Point]:
    """The trials that were looked at only in part, at what that part led to expect."""
    found = []
    for trial in trials:
        estimated = {x.name, y.name} & set(trial.partial)
        if trial.feasible and estimated:
            known = {**trial.metrics, **trial.partial}
            at_x, at_y = x.drawable(known.get(x.name)), y.drawable(known.get(y.name))
            if at_x is not None and at_y is not None:
                found.append((trial, at_x, at_y))
    if most is not None and len(found) > most:
        found = [found[i * len(found) // most] for i in range(most)]
    return [
        Point(
            at_x,
            at_y,
            f"trial {trial.number}  {plain(trial.digest, 20)}<br>"
            f"{plain(x.label, 60)}: {x.show(at_x)}<br>{plain(y.label, 60)}: {y.show(at_y)}<br>"
            f"<i>estimated from {trial.images:,} images</i>",
            plain(trial.digest, 20),
        )
        for trial, at_x, at_y in found
    ]


def staircase(points: Sequence[Point], x: Axis, y: Axis) -> list[Point]:
    """The points that no other dominates in these two metrics, from the best x on."""
    values = [(point.x, point.y) for point in points]
    mask = non_dominated(values, (x.direction, y.direction))
    kept = [point for point, member in zip(points, mask, strict=True) if member]
    return sorted(kept, key=lambda point: point.x, reverse=x.direction == "max")


def baseline_name(baseline: Mapping[str, Any]) -> str:
    """What a baseline is called, escaped."""
    return plain(baseline.get("name", "baseline"), 60)


def baseline_value(baseline: Mapping[str, Any], name: str) -> object:
    """A baseline's metric, given as a number or as ``{"value": …}``."""
    value = baseline.get(name)
    return value.get("value") if isinstance(value, Mapping) else value
