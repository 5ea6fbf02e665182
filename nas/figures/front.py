"""The front: accuracy against a cost, predicted and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from nas.figures import front_traces as traces
from nas.figures.axes import Axis, bounds_of
from nas.figures.front_points import (
    FrontSeries,
    Star,
    baseline_name,
    baseline_value,
    drawable,
    measured,
)
from nas.figures.labels import place_labels
from nas.figures.palette import DEPTH, MUTED, SERIES
from nas.figures.style import empty, legend_below, styled
from nas.figures.text import plain

MAX_TRIALS = 3000
DASHES = ("solid", "dash", "dot", "dashdot")
"""A line style a run beside its colour."""


def front_figure(
    series: Sequence[FrontSeries],
    x: Axis,
    y: Axis,
    *,
    colour: Axis | None = None,
    limits: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    baselines: Sequence[Mapping[str, Any]] = (),
    show_predicted: bool = True,
    webgl: bool = False,
    height: int = 560,
) -> go.Figure:
    """Fronts of one or several runs over the trials they were found among.

    Every marker carries ``customdata = [run, digest]``, a baseline's ``[run, "*name"]``. The zoom
    survives a redraw.

    Args:
        series: the runs.
        x, y: the metrics.
        colour: a third metric, for a single run; several runs are told apart by colour.
        limits: hard limits by metric, as ``Front.limits``, or those of several runs; those of
            ``x`` and ``y`` are drawn.
        baselines: ``{"name": …, metric: number or {"value": number}}`` each; with ``"start": True``
            it is an architecture that the search began with.
        show_predicted: whether to draw what the search believed too.
        webgl: draw trials on the graphics card: all of them, but not in print.
        height: in pixels.
    """
    figure = go.Figure()
    alone = len(series) == 1
    for number, one in enumerate(series):
        tint = SERIES[number % len(SERIES)]
        members = drawable(one.members, x, y)
        figure.add_traces(traces.of_trials(one, x, y, None if webgl else MAX_TRIALS, alone, tint))
        if show_predicted:
            figure.add_traces(traces.of_predictions(members, x, y, alone, tint))
        dash = DASHES[number % len(DASHES)]
        figure.add_traces(traces.of_staircase(members, x, y, alone, one.name, tint, dash))
        shade = colour if alone else None
        figure.add_traces(traces.of_members(members, x, y, shade, one.name, alone, tint))
        figure.add_traces(traces.of_winner(members, x, y, one, alone))
    for other in [trace for trace in figure.data if trace.name == "winner"][1:]:
        other.showlegend = False
    alone_rows = [row for row in baselines if row.get("start") is not True]
    stars = _stars(alone_rows, x, y)
    begun = _stars([row for row in baselines if row.get("start") is True], x, y)
    figure.add_traces(traces.of_baselines(stars, begun))
    if not figure.data:
        return empty("no point has both values")
    _frame(figure, x, y, colour if alone else None, height)
    stated = [limits] if isinstance(limits, Mapping) else limits or []
    _focus(figure, series, x, y, [*stars, *begun], stated)
    place_labels(figure, x, y)
    return figure


def _frame(figure: go.Figure, x: Axis, y: Axis, colour: Axis | None, height: int) -> None:
    layout: dict[str, Any] = {"uirevision": f"{x.name} {y.name} {x.log} {y.log}"}
    if colour is not None:
        layout["coloraxis"] = {
            "colorscale": [list(stop) for stop in DEPTH],
            "colorbar": _colour_bar(colour),
        }
    styled(figure, height=height, **layout)
    figure.update_layout(
        margin={"l": 58, "r": 16, "t": 30 if colour is None else 64, "b": 130},
        legend=legend_below(),
    )
    axes = (("xaxis", x), ("yaxis", y))
    for key, axis in axes:
        better = "higher" if axis.direction == "max" else "lower"
        scale = ", log scale" if axis.log else ""
        figure.update_layout(
            {
                key: {
                    "title": {"text": f"{axis.title} ({better} is better{scale})"},
                    "type": "log" if axis.log else "linear",
                    "tickformat": axis.tick_format,
                }
            }
        )


def _colour_bar(axis: Axis) -> dict[str, Any]:
    """Above the plot: beside it, it would take a phone's width."""
    return {
        "title": {"text": axis.title, "side": "top", "font": {"size": 12, "color": MUTED}},
        "tickfont": {"size": 11, "color": MUTED},
        "orientation": "h",
        "thickness": 8,
        "outlinewidth": 0,
        "nticks": 5,
        "len": 0.45,
        "lenmode": "fraction",
        "x": 0,
        "xanchor": "left",
        "y": 1.0,
        "yanchor": "bottom",
    }


def _focus(
    figure: go.Figure,
    series: Sequence[FrontSeries],
    x: Axis,
    y: Axis,
    stars: Sequence[Star],
    limits: Sequence[Mapping[str, Any]],
) -> None:
    """Look at the front: trials far below it would press it flat. Zooming out shows them."""
    members = [m for one in series for m in drawable(one.members, x, y)]
    spans = {}
    for axis, place in ((x, "x"), (y, "y")):
        values = [v for m in members for v in _extent(m, axis)]
        values += [getattr(star, place) for star in stars]
        values += [bound for one in limits for _, bound in bounds_of(one, axis)]
        if not members or not values:
            continue
        low, high = axis.position(min(values)), axis.position(max(values))
        pad = (high - low) * 0.08 or max(abs(high) * 0.1, 0.05)
        worse = 2.5 * pad
        bottom, top = (worse, pad) if axis.direction == "max" else (pad, worse)
        spans[place] = [low - bottom, high + top]
    for place, span in spans.items():
        axis = x if place == "x" else y
        figure.update_layout({f"{place}axis": {"range": span, "tickvals": axis.ticks(*span)}})
    if len(spans) == 2:
        names = [one.name for one in series][: len(limits)]
        figure.add_traces(traces.of_limits(limits, names, x, y, spans["x"], spans["y"]))


def _extent(member: Any, axis: Axis) -> list[float]:
    metric = member.metrics[axis.name]
    ends = (axis.drawable(metric.low), axis.drawable(metric.high), measured(member, axis))
    return [end for end in ends if end is not None]


def _stars(baselines: Sequence[Mapping[str, Any]], x: Axis, y: Axis) -> list[Star]:
    stars = []
    for baseline in baselines:
        at_x = x.drawable(baseline_value(baseline, x.name))
        at_y = y.drawable(baseline_value(baseline, y.name))
        if at_x is not None and at_y is not None:
            name = baseline_name(baseline)
            text = f"<b>{name}</b><br>{x.show(at_x)}, {y.show(at_y)}"
            stars.append(Star(at_x, at_y, text, name, plain(baseline.get("run", ""), 60)))
    return stars
