"""The front figure for a view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from nas.dashboard.reading.run import Snapshot
from nas.dashboard.state import Chosen, State
from nas.dashboard.view import View
from nas.figures.axes import Axis, axis_of
from nas.figures.cloud import GONE, TrialColumns
from nas.figures.front import front_figure
from nas.figures.front_points import FrontSeries, baseline_value
from nas.figures.labels import place_labels
from nas.figures.palette import INK
from nas.figures.text import finite
from nas.front import Member, Metric

HEIGHT = 440


def axes_of(view: View, runs: Sequence[Snapshot]) -> tuple[Axis, Axis]:
    """The view's axes, in the runs' own words."""
    objectives = [o for run in runs for o in run.front.objectives]
    return (
        axis_of(view.x, objectives, log="logx" in view.flags),
        axis_of(view.y, objectives, log="logy" in view.flags),
    )


def trade_off(
    state: State,
    view: View,
    runs: Sequence[Snapshot],
    chosen: Chosen | None = None,
    pinned: Chosen | None = None,
    span: tuple[float, float, float, float] | None = None,
) -> go.Figure:
    """Fronts of all chosen runs, overlaid."""
    x, y = axes_of(view, runs)
    series = [_series(state, run, place, view) for place, run in enumerate(runs)]
    stars: dict[str, Mapping[str, Any]] = {}
    if "stars" in view.flags:
        # Runs that differ in the seed may share them: the same star is drawn once.
        stars = {
            f"{star.get('name')} {star.get(x.name)} {star.get(y.name)}": {**star, "run": run.key}
            for run in runs
            for star in run.baselines
        }
    figure = front_figure(
        series,
        x,
        y,
        limits=[run.front.limits for run in runs],
        baselines=list(stars.values()),
        show_predicted=view.values == "both",
        height=HEIGHT,
    )
    for one, symbol, label in (
        (pinned, "square-open", "pinned"),
        (chosen, "circle-open", "chosen"),
    ):
        _mark(figure, one, x, y, view.values == "predicted", symbol, label)
    figure.update_layout(margin={"l": 62, "r": 18, "t": 14, "b": 96}, dragmode="pan")
    figure.update_layout(height=None)  # the page says how high
    look_at(figure, runs, [s for s in stars.values() if s.get("start") is not True], x, y)
    place_labels(figure, x, y)
    _ticks(figure.layout.xaxis, x)
    _ticks(figure.layout.yaxis, y)
    if span is not None:
        figure.update_xaxes(range=list(span[:2]), autorange=False)
        figure.update_yaxes(range=list(span[2:]), autorange=False)
    return figure


def _ticks(layout: Any, axis: Axis) -> None:
    """Fixed ticks would be missing once somebody zooms in; every digit of a decade is too many."""
    layout.tickvals = None
    if axis.name in ("params", "macs"):
        layout.tickformat = "~s"
    span = layout.range
    if axis.log and span is not None and span[1] - span[0] > 0.7:
        layout.dtick = "D2"


def look_at(
    figure: go.Figure,
    runs: Sequence[Snapshot],
    stars: Sequence[Mapping[str, Any]],
    x: Axis,
    y: Axis,
) -> None:
    """A front may end in members that are far worse in everything else: they would press the
    others flat. What lies beyond Tukey's fences of its own run is out of sight until somebody
    zooms out; every run and every baseline stays in sight.
    """
    for axis, layout in ((x, figure.layout.xaxis), (y, figure.layout.yaxis)):
        spans = [span for run in runs if (span := _fenced(run, axis)) is not None]
        if not spans or layout.range is None:
            continue
        known = [axis.drawable(baseline_value(star, axis.name)) for star in stars]
        at = [axis.position(value) for value in known if value is not None]
        bottom = min([*(span[0] for span in spans), *at])
        top = max([*(span[1] for span in spans), *at])
        pad = 0.08 * (top - bottom)
        low, high = layout.range
        if any(span[2] for span in spans):
            low = max(low, bottom - pad)
        if any(span[3] for span in spans):
            high = min(high, top + pad)
        if axis.share and not axis.log:
            high = min(high, 1.004)
        if low < high:
            layout.range = [float(low), float(high)]


def _fenced(run: Snapshot, axis: Axis) -> tuple[float, float, bool, bool] | None:
    """Ends of a front, without what is far out, and whether anything is below and above them."""
    members = [m for m in run.front.members if m.dominated is not True and axis.name in m.metrics]
    known = (axis.drawable(m.metrics[axis.name].value) for m in members)
    places = np.array([axis.position(value) for value in known if value is not None])
    if not len(places):
        return None
    low, high = float(places.min()), float(places.max())
    if len(places) < 8:
        return low, high, False, False
    first, third = np.percentile(places, (25, 75))
    bottom, top = float(first - 3 * (third - first)), float(third + 3 * (third - first))
    far = 0.25 * (top - bottom)  # what is just beyond is no reason to hide it
    below, above = low < bottom - far, high > top + far
    return bottom if below else low, top if above else high, below, above


def _series(state: State, run: Snapshot, place: int, view: View) -> FrontSeries:
    cloud: TrialColumns | None = None
    if "trials" in view.flags:
        cloud = without(state.columns(run, place), run, "feasible" in view.flags)
    members: Sequence[Member] = run.front.members
    if "trials" not in view.flags:
        members = [member for member in members if member.dominated is not True]
    if "feasible" in view.flags:
        members = [m for m in members if keeps_limits(m, run.front.limits)]
    if view.values == "predicted":
        members = [as_predicted(member) for member in members]
    return FrontSeries(name=run.key, members=members, winner=run.front.winner or None, cloud=cloud)


def without(columns: TrialColumns, run: Snapshot, feasible: bool) -> TrialColumns:
    """The columns without the front's members, which have a marker of their own that a click
    should meet, and, if so wished, without trials that break a limit.
    """
    members = {member.digest for member in run.front.members}
    kind = columns.kind.copy()
    places = [place for place, trial in enumerate(run.log.trials) if trial.digest in members]
    kind[[place for place in places if place < len(kind)]] = GONE
    if feasible:
        kind[kind == 1] = GONE
    return replace(columns, kind=kind)


def keeps_limits(member: Member, limits: Mapping[str, Any]) -> bool:
    """Whether a member's values lie within the limits on them."""
    from nas.figures.axes import bounds_of

    for name, metric in member.metrics.items():
        value = finite(metric.value)
        for sign, bound in bounds_of(limits, axis_of(name)):
            if value is not None and (value > bound if sign == "≤" else value < bound):
                return False
    return True


def as_predicted(member: Member) -> Member:
    """The member as the search believed it to be, with the predictions' intervals."""
    metrics = dict(member.metrics)
    for name, metric in metrics.items():
        believed = metric.predicted if isinstance(metric.predicted, Mapping) else {}
        value = finite(believed.get("value"))
        if value is not None:
            low, high = finite(believed.get("low")), finite(believed.get("high"))
            metrics[name] = Metric(value=value, kind="predicted", low=low, high=high)
    return replace(member, metrics=metrics)


def values_of(chosen: Chosen, *, predicted: bool = False) -> dict[str, float]:
    """Every value that is known of an architecture; what was verified goes first."""
    trial = chosen.trial
    known = dict(chosen.baseline) if trial is None else {**trial.partial, **trial.metrics}
    if chosen.member is not None:
        member = as_predicted(chosen.member) if predicted else chosen.member
        known |= {n: v for n, m in member.metrics.items() if (v := finite(m.value)) is not None}
    return known


def _mark(
    figure: go.Figure,
    chosen: Chosen | None,
    x: Axis,
    y: Axis,
    predicted: bool,
    symbol: str,
    label: str,
) -> None:
    if chosen is None:
        return
    known = values_of(chosen, predicted=predicted)
    at_x, at_y = x.drawable(known.get(x.name)), y.drawable(known.get(y.name))
    if at_x is None or at_y is None:
        return
    figure.add_trace(
        go.Scatter(
            x=[at_x],
            y=[at_y],
            mode="markers",
            marker={"symbol": symbol, "size": 20, "color": INK, "line": {"width": 2.5}},
            name=label,
            hoverinfo="skip",
        )
    )
