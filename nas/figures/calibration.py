"""How well a predictor tells the measured value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go

from nas.figures.axes import Axis
from nas.figures.palette import BLUE, FAINT, MUTED, PAPER, VERMILLION
from nas.figures.style import empty, styled
from nas.figures.text import cleaned, finite, percent, plain

MAX_POINTS = 3000
Pair = tuple[object, object, str]
"""(predicted, measured, label)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Predictions beside measurements.

    Attributes:
        axis: the metric.
        held_out: pairs of networks the predictor had not seen.
        front: pairs of front members.
        error: agreement on ``held_out``: mape, spearman, kendall_tau, n.
        front_error: the same on ``front``.
        repeat: the same between two halves of the measurement: nobody can ask for more.
        interval: half-width of the prediction interval as a share, None if unknown.
        confidence: share of networks inside the interval.
        held_out_label: what the networks of ``held_out`` are called.
    """

    axis: Axis
    held_out: Sequence[Pair] = ()
    front: Sequence[Pair] = ()
    error: Mapping[str, Any] = field(default_factory=dict)
    front_error: Mapping[str, Any] = field(default_factory=dict)
    repeat: Mapping[str, Any] = field(default_factory=dict)
    interval: float | None = None
    confidence: float | None = None
    held_out_label: str = "not seen in fitting"


def stated(agreement: Mapping[str, Any]) -> str:
    """``MAPE 3.1 %, Spearman 0.991, τ 0.94``; "" where nothing is known."""
    parts = []
    for key, label in (("mape", "MAPE"), ("spearman", "Spearman"), ("kendall_tau", "Kendall τ")):
        value = finite(agreement.get(key))
        if value is not None:
            parts.append(f"{label} {percent(value) if key == 'mape' else f'{value:.3f}'}")
    return ", ".join(parts)


def calibration_figure(
    calibration: Calibration, *, state: bool = True, height: int = 440
) -> go.Figure:
    """Predicted against measured on equal axes, with the diagonal.

    Args:
        calibration: what to draw.
        state: whether the legend states the agreements; not needed beside a table of them.
        height: in pixels.
    """
    axis = calibration.axis
    unseen = _points(calibration.held_out, axis)
    front = _points(calibration.front, axis)
    if not unseen and not front:
        return empty("no network was both predicted and measured")
    figure = go.Figure()
    values = [value for x, y, _ in (*unseen, *front) for value in (x, y)]
    low, high = min(values) / 1.12, max(values) * 1.12
    figure.add_traces(_diagonal(low, high, calibration))
    told = (calibration.error, calibration.front_error) if state else ({}, {})
    groups = (
        (unseen, calibration.held_out_label, told[0], "circle", BLUE, 7, 0.55),
        (front, "front members", told[1], "diamond", VERMILLION, 10, 0.95),
    )
    for points, label, agreement, symbol, colour, size, opacity in groups:
        if points:
            figure.add_trace(
                _dots(
                    points,
                    axis,
                    _named(label, len(points), agreement),
                    symbol,
                    colour,
                    size,
                    opacity,
                )
            )
    if calibration.repeat and state:
        figure.add_trace(_words(_named("measurement against itself", None, calibration.repeat)))
    styled(figure, height=height)
    figure.update_layout(margin={"l": 58, "r": 16, "t": 30, "b": 140 if state else 100})
    _axes(figure, axis, low, high)
    return figure


def _axes(figure: go.Figure, axis: Axis, low: float, high: float) -> None:
    unit = f" [{plain(axis.unit, 20)}]" if axis.unit else ""
    span = [axis.position(low), axis.position(high)]
    kind = {
        "type": "log" if axis.log else "linear",
        "tickformat": axis.tick_format,
        "nticks": 6,
        "tickvals": axis.ticks(*span),
        "range": span,
    }
    figure.update_xaxes(title_text=f"measured {plain(axis.label, 60)}{unit}", **kind)
    figure.update_yaxes(title_text=f"predicted {plain(axis.label, 60)}{unit}", **kind)


def _points(pairs: Sequence[Pair], axis: Axis) -> list[tuple[float, float, str]]:
    """(measured, predicted, label) of what can be drawn."""
    made = []
    for guess, truth, label in pairs[:MAX_POINTS]:
        y, x = axis.drawable(guess), axis.drawable(truth)
        if x is not None and y is not None and x > 0 and y > 0:
            made.append((x, y, cleaned(label, 40)))
    return made


def _named(label: str, count: int | None, agreement: Mapping[str, Any]) -> str:
    words = stated(agreement)
    number = f" ({count})" if count is not None else ""
    return f"{label}{number}: {words}" if words else f"{label}{number}"


def _diagonal(low: float, high: float, calibration: Calibration) -> list[go.Scatter]:
    line = go.Scatter(
        x=[low, high],
        y=[low, high],
        mode="lines",
        line={"width": 1, "color": MUTED},
        hoverinfo="skip",
        showlegend=False,
    )
    share = finite(calibration.interval)
    if share is None or not 0 < share < 10:
        return [line]
    inside = finite(calibration.confidence)
    factor = 1 + share
    band = go.Scatter(
        x=[low, high, high, low],
        y=[low / factor, high / factor, high * factor, low * factor],
        fill="toself",
        fillcolor="rgba(184,193,203,0.28)",
        line={"width": 0},
        mode="lines",
        name=f"interval that holds {percent(inside, 0)} of networks" if inside else "interval",
        hoverinfo="skip",
    )
    return [band, line]


def _dots(
    points: Sequence[tuple[float, float, str]],
    axis: Axis,
    name: str,
    symbol: str,
    colour: str,
    size: int,
    opacity: float,
) -> go.Scatter:
    return go.Scatter(
        x=[x for x, _, _ in points],
        y=[y for _, y, _ in points],
        mode="markers",
        name=name,
        marker={
            "symbol": symbol,
            "size": size,
            "color": colour,
            "opacity": opacity,
            "line": {"width": 0.5, "color": PAPER},
        },
        hovertext=[
            f"{plain(label)}<br>measured {axis.show(x)}"
            f"<br>predicted {axis.show(y)} ({y / x - 1:+.1%})"
            for x, y, label in points
        ],
        hoverinfo="text",
    )


def _words(text: str) -> go.Scatter:
    """A line of the legend that has no marks of its own."""
    return go.Scatter(
        x=[None],
        y=[None],
        mode="markers",
        name=text,
        marker={"symbol": "line-ew-open", "size": 10, "color": FAINT, "line": {"width": 2}},
    )
