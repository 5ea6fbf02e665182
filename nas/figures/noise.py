"""How steady the measurements are, and how well proxies rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from nas.figures.axes import axis_of
from nas.figures.palette import BLUE, INK, MUTED, VERMILLION
from nas.figures.style import empty, styled
from nas.figures.text import cleaned, finite, plain

MAX_POINTS = 3000
MAX_BARS = 40


def noise_figure(rows: Sequence[Mapping[str, Any]], *, height: int = 400) -> go.Figure:
    """Interquartile range of the timed runs, and how far the rounds' medians lie apart.

    Args:
        rows: measurements: latency_ms, iqr_ms, slots, drifts, digest, noisy.
        height: in pixels.
    """
    inner: list[tuple[float, float, str]] = []
    between: list[tuple[float, float, str]] = []
    for row in rows[:MAX_POINTS]:
        latency, iqr = finite(row.get("latency_ms")), finite(row.get("iqr_ms"))
        if latency is None or latency <= 0:
            continue
        label = cleaned(row.get("digest", ""), 20) + (
            " (noisy)" if row.get("noisy") is True else ""
        )
        if iqr is not None:
            inner.append((latency, iqr / latency, label))
        spread = _between(row)
        if spread is not None:
            between.append((latency, spread, label))
    if not inner and not between:
        return empty("nothing was measured yet", height=height)
    figure = go.Figure()
    for points, name, colour, symbol in (
        (inner, "inside a round: interquartile range", BLUE, "circle"),
        (
            between,
            "between rounds: range of the medians, drift removed",
            VERMILLION,
            "diamond-open",
        ),
    ):
        figure.add_trace(
            go.Scatter(
                x=[x for x, _, _ in points],
                y=[y for _, y, _ in points],
                mode="markers",
                marker={"size": 7, "color": colour, "symbol": symbol, "opacity": 0.7},
                name=name,
                hovertext=[f"{plain(t)}<br>{x:.3g} ms, ±{y:.2%}" for x, y, t in points],
                hoverinfo="text",
            )
        )
    styled(figure, height=height)
    figure.update_layout(margin={"l": 58, "r": 16, "t": 16, "b": 104})
    axis = axis_of("latency_ms", log=True)
    at = [axis.position(x) for x, _, _ in (*inner, *between)]
    figure.update_xaxes(
        title_text="measured latency [ms]",
        type="log",
        nticks=6,
        tickformat=axis.tick_format,
        tickvals=axis.ticks(min(at), max(at)),
    )
    figure.update_yaxes(title_text="spread, relative", tickformat=".1%", rangemode="tozero")
    return figure


def _between(row: Mapping[str, Any]) -> float | None:
    slots, drifts = row.get("slots"), row.get("drifts")
    if not isinstance(slots, list) or not isinstance(drifts, list) or len(slots) < 2:
        return None
    medians = []
    for slot, drift in zip(slots[:50], drifts[:50], strict=False):
        median = finite(slot.get("median_ms")) if isinstance(slot, Mapping) else None
        slowness = finite(drift)
        if median is not None and slowness:
            medians.append(median / slowness)
    if len(medians) < 2 or np.median(medians) <= 0:
        return None
    return float((max(medians) - min(medians)) / np.median(medians))


def fidelity_figure(
    table: Sequence[Mapping[str, Any]], group: str = "all", *, height: int = 0
) -> go.Figure:
    """Kendall's tau of each proxy with inherited accuracy, with its interval.

    Args:
        table: rows of ``proxies.json``: group, proxy, tau, tau_low, tau_high, n.
        group: which architectures: ``all``, or an attention type.
        height: in pixels, 0: as the number of proxies asks.
    """
    rows = []
    for row in table:
        tau = finite(row.get("tau"))
        if tau is not None and row.get("group") == group:
            low, high = finite(row.get("tau_low")), finite(row.get("tau_high"))
            rows.append((tau, low, high, plain(row.get("proxy", "?"), 40), row.get("n")))
    rows = sorted(rows, key=lambda row: -abs(row[0]))[:MAX_BARS]
    if not rows:
        return empty("rank fidelity was not measured: formfinder proxies RUN does")
    figure = go.Figure(
        go.Scatter(
            x=[tau for tau, *_ in rows],
            y=[name for *_, name, _ in rows],
            mode="markers",
            marker={"size": 9, "color": BLUE},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [0 if high is None else high - tau for tau, _, high, *_ in rows],
                "arrayminus": [0 if low is None else tau - low for tau, low, *_ in rows],
                "color": MUTED,
                "thickness": 1.5,
                "width": 0,
            },
            hovertext=[
                f"{name}: τ {tau:.3f}{_between_words(low, high)}, n {plain(n, 10)}"
                for tau, low, high, name, n in rows
            ],
            hoverinfo="text",
            showlegend=False,
        )
    )
    styled(figure, height=height or 100 + 26 * len(rows))
    figure.add_vline(x=0, line={"width": 1, "color": INK})
    figure.update_layout(margin={"l": 8, "r": 16, "t": 8, "b": 52})
    figure.update_xaxes(title_text="Kendall τ with inherited accuracy", range=[-1.05, 1.05])
    figure.update_yaxes(autorange="reversed")
    return figure


def _between_words(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
