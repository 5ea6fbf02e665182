"""Words beside marks: on the side where the view has room for them."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from nas.figures.axes import Axis

MAX_LABELS = 6
"""More marks of one kind are named by their hover text alone."""
_HIGH, _LOW, _LEFT, _RIGHT = 0.88, 0.2, 0.25, 0.75


def place_labels(figure: go.Figure, x: Axis, y: Axis) -> None:
    """Move the words of each mark towards the middle of the view; to be called once it is known."""
    spans = figure.layout.xaxis.range, figure.layout.yaxis.range
    if None in spans:
        return
    for trace in figure.data:
        if "text" not in (trace.mode or "") or trace.text is None:
            continue
        if len(trace.text) > MAX_LABELS:
            trace.update(mode="markers", text=None)
            continue
        side = _beside if trace.name == "winner" else _above
        trace.textposition = [
            side(_share(x, at_x, spans[0]), _share(y, at_y, spans[1]))
            for at_x, at_y in zip(trace.x, trace.y, strict=True)
        ]
        trace.cliponaxis = False  # the last letters may stand beyond the axes


def _share(axis: Axis, value: float, span: Any) -> float:
    """0 at the lower end of the view, 1 at the upper."""
    return float((axis.position(value) - span[0]) / ((span[1] - span[0]) or 1.0))


def _above(u: float, v: float) -> str:
    """Over the mark, under it at the upper edge."""
    across = "right" if u < _LEFT else "left" if u > _RIGHT else "center"
    return f"{'bottom' if v > _HIGH else 'top'} {across}"


def _beside(u: float, v: float) -> str:
    """Under the mark, over it at the lower edge."""
    return f"{'top' if v < _LOW else 'bottom'} {'right' if u < 0.5 else 'left'}"
