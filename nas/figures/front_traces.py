"""The traces of the front figure, from faint to loud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from nas.figures.axes import Axis, bounds_of
from nas.figures.cloud import cloud_traces
from nas.figures.front_points import (
    FrontSeries,
    Point,
    Star,
    measured,
    member_points,
    partial_points,
    predicted,
    staircase,
    trial_points,
)
from nas.figures.palette import DEPTH, FAINT, INK, MUTED, PAPER, VERMILLION
from nas.figures.text import plain

if TYPE_CHECKING:
    from nas.front import Member


def _scatter(points: Sequence[Point], series: str, **style: Any) -> go.Scatter:
    columns: dict[str, Any] = {
        "x": [point.x for point in points],
        "y": [point.y for point in points],
        "hovertext": [point.hover for point in points],
        "hoverinfo": "text",
        "customdata": [[plain(series, 60), point.digest] for point in points],
        "mode": "markers",
    }
    return go.Scatter(**columns | style)


def of_trials(
    series: FrontSeries, x: Axis, y: Axis, most: int | None, alone: bool, tint: str
) -> list[Any]:
    """Every finished trial, faint; those that break a limit as crosses."""
    if series.cloud is not None:
        return cloud_traces(series.cloud, series.name, x, y, alone, tint)
    made = []
    for feasible, symbol, label in (
        (True, "circle", "trials (search estimate)"),
        (False, "x-thin", "trials that break a limit"),
    ):
        points = trial_points(series.trials, x, y, feasible=feasible, most=most)
        if not points:
            continue
        style = {
            "marker": {
                "symbol": symbol,
                "size": 5,
                "color": FAINT if alone else tint,
                "opacity": 0.55 if alone else 0.2,
                "line": {"width": 0 if feasible else 1, "color": FAINT if alone else tint},
            },
            "name": label,
            "showlegend": alone,
        }
        if most is None:
            flat = _scatter(points, series.name, **style).to_plotly_json()
            made.append(go.Scattergl({**flat, "type": "scattergl"}))
        else:
            made.append(_scatter(points, series.name, **style))
    return made + _of_partial(series, x, y, most, alone, tint)


def _of_partial(
    series: FrontSeries, x: Axis, y: Axis, most: int | None, alone: bool, tint: str
) -> list[Any]:
    """Trials that were looked at only in part: hollow, for their accuracy is an estimate."""
    points = partial_points(series.trials, x, y, most=most)
    if not points:
        return []
    style = {
        "marker": {
            "symbol": "circle-open",
            "size": 4,
            "color": FAINT if alone else tint,
            "opacity": 0.55 if alone else 0.2,
            "line": {"width": 1},
        },
        "name": "trials looked at only in part",
        "showlegend": alone,
    }
    return [_scatter(points, series.name, **style)]


def of_predictions(
    members: Sequence[Member], x: Axis, y: Axis, alone: bool, tint: str
) -> list[Any]:
    """What the search believed of each member, tied to what turned out."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    for member in members:
        start = predicted(member, x), predicted(member, y)
        end = measured(member, x), measured(member, y)
        if None not in start and start != end:
            xs += [start[0], end[0], None]
            ys += [start[1], end[1], None]
    if not xs:
        return []
    ink = MUTED if alone else tint
    line = go.Scatter(
        x=xs,
        y=ys,
        mode="lines",
        line={"width": 1, "color": ink, "dash": "dot"},
        opacity=0.6,
        hoverinfo="skip",
        showlegend=False,
    )
    dots = go.Scatter(
        x=xs[::3],
        y=ys[::3],
        mode="markers",
        name="predicted by the search",
        opacity=0.7,
        marker={"size": 6, "symbol": "circle-open", "color": ink, "line": {"width": 1}},
        hoverinfo="skip",
        showlegend=alone,
    )
    return [line, dots]


def of_staircase(
    members: Sequence[Member],
    x: Axis,
    y: Axis,
    alone: bool,
    name: str,
    tint: str,
    dash: str = "solid",
) -> list[Any]:
    """What is reachable: nothing that was found lies beyond this line."""
    standing = [member for member in members if member.dominated is not True]
    points = staircase(member_points(standing, x, y, name), x, y)
    if len(points) < 2:
        return []
    return [
        go.Scatter(
            x=[point.x for point in points],
            y=[point.y for point in points],
            mode="lines",
            line={
                "shape": "hv",
                "width": 1.5,
                "color": FAINT if alone else tint,
                "dash": dash,
            },
            hoverinfo="skip",
            showlegend=False,
        )
    ]


def of_members(
    members: Sequence[Member],
    x: Axis,
    y: Axis,
    colour: Axis | None,
    name: str,
    alone: bool,
    tint: str,
) -> list[Any]:
    """The verified members: diamonds where tied with the most accurate, hollow where dominated."""
    kind = members[0].latency_kind if members else "measured"
    groups = (
        (f"front, {kind}", "circle", False, False),
        ("front, tied with the most accurate", "diamond", True, False),
        ("dominated after measuring", "circle-open", False, True),
        ("dominated, tied in accuracy", "diamond-open", True, True),
    )
    made: list[Any] = []
    for label, symbol, tied, dominated in groups:
        chosen = [m for m in members if (m.tied is True, m.dominated is True) == (tied, dominated)]
        if not chosen:
            continue
        shown = label if alone else plain(name, 60)
        marker: dict[str, Any] = {"symbol": symbol, "size": 12 if tied else 11, "color": tint}
        marker["line"] = {"width": 1, "color": PAPER}
        if dominated:
            marker |= {"size": 9, "color": MUTED if alone else tint, "line": {"width": 1.5}}
        in_legend = alone or not made  # of several runs, each has one entry
        points = member_points(chosen, x, y, name)
        bars = {"error_x": _bars(chosen, x), "error_y": _bars(chosen, y)}
        group = {"name": shown, "legendgroup": shown}
        if colour is None or dominated or None in (shades := [measured(m, colour) for m in chosen]):
            made.append(
                _scatter(points, name, marker=marker, showlegend=in_legend, **group, **bars)
            )
            continue
        scaled = marker | {"color": shades, "coloraxis": "coloraxis"}
        made.append(_scatter(points, name, marker=scaled, showlegend=False, **group, **bars))
        # The legend cannot show a scale of colours: it gets a mark of one colour instead.
        middle = marker | {"color": DEPTH[2][1]}
        made.append(_scatter([], name, x=[None], y=[None], marker=middle, **group))
    return made


def _bars(members: Sequence[Member], axis: Axis) -> dict[str, Any]:
    """Intervals as thin bars; none where the file has none."""
    up, down = [], []
    for member in members:
        metric, value = member.metrics[axis.name], measured(member, axis) or 0.0
        low, high = axis.drawable(metric.low), axis.drawable(metric.high)
        down.append(0.0 if low is None else max(0.0, value - low))
        up.append(0.0 if high is None else max(0.0, high - value))
    style = {"color": "rgba(82,96,109,0.45)", "thickness": 1, "width": 0}
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down, **style}


def of_winner(
    members: Sequence[Member], x: Axis, y: Axis, series: FrontSeries, alone: bool
) -> list[Any]:
    """A ring around the exported member; two numbers beside it, where no other run has one."""
    chosen = [member for member in members if member.digest == series.winner]
    if not chosen:
        return []
    point = member_points(chosen, x, y, series.name)[0]
    label = f"<b>winner</b><br>{y.show(point.y)}, {x.show(point.x)}"
    xs = [x.position(measured(member, x) or 1.0) for member in members]
    right = x.position(point.x) > (min(xs) + max(xs)) / 2
    return [
        _scatter(
            [point],
            series.name,
            mode="markers+text" if alone else "markers",
            name="winner",
            legendgroup="winner",
            text=[label],
            textposition="bottom left" if right else "bottom right",
            textfont={"color": VERMILLION, "size": 13},
            marker={"symbol": "circle-open", "size": 22, "color": VERMILLION}
            | {"line": {"width": 2.5}},
        )
    ]


def of_limits(
    limits: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    x: Axis,
    y: Axis,
    x_span: Sequence[float],
    y_span: Sequence[float],
) -> list[Any]:
    """Hard limits as dashed lines across the view; spans are in the axes' coordinates.

    Args:
        limits: those of each run; where runs differ in them, a line says whose it is.
        names: of the runs, as many.
        x, y: axes.
        x_span, y_span: what is in sight.
    """

    def ends(axis: Axis, span: Sequence[float]) -> list[float]:
        return [10.0**end for end in span] if axis.log else list(span)

    made = []
    for axis, other, span in ((x, y, y_span), (y, x, x_span)):
        # Several runs often have the same limit, and a line is drawn once.
        owners: dict[tuple[str, float], list[str]] = {}
        for name, one in zip(names, limits, strict=True):
            for pair in bounds_of(one, axis):
                owners.setdefault(pair, []).append(name)
        for (sign, bound), whose in owners.items():
            of_whom = "" if len(whose) == len(limits) else f" ({plain(', '.join(whose), 60)})"
            across, along = ends(other, span), [bound, bound]
            made.append(
                go.Scatter(
                    x=along if axis is x else across,
                    y=across if axis is x else along,
                    mode="lines",
                    line={"width": 1.5, "color": VERMILLION, "dash": "dash"},
                    name=f"limit: {plain(axis.label, 60)} {sign} {axis.show(bound)}{of_whom}",
                    hoverinfo="name",
                )
            )
    return made


def of_baselines(stars: Sequence[Star], begun: Sequence[Star] = ()) -> list[Any]:
    """Nets to compare with: filled, trained alone; hollow, what the search began with."""
    kinds = (
        (stars, "baselines", "star", {"width": 1, "color": PAPER}),
        (begun, "what the search began with", "star-open", {"width": 1.5, "color": INK}),
    )
    return [
        _scatter(
            points,
            "baseline",
            mode="markers+text",
            name=name,
            text=[point.digest for point in points],
            customdata=[[point.run, f"*{point.digest}"] for point in points],
            textposition="top center",
            textfont={"size": 12, "color": INK},
            marker={"symbol": symbol, "size": 15, "color": INK, "line": line},
        )
        for points, name, symbol, line in kinds
        if points
    ]
