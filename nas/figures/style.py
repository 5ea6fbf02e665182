"""One look for all figures: system fonts, white ground, quiet grid."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from nas.figures.palette import FAINT, GRID, INK, MUTED, PAPER

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def styled(figure: go.Figure, *, height: int, **layout: Any) -> go.Figure:
    """``figure`` in the common look.

    Args:
        figure: changed in place.
        height: in pixels; the width is that of the page.
        layout: further layout.
    """
    figure.update_layout(
        template="none",
        height=height,
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor=PAPER,
        plot_bgcolor=PAPER,
        margin={"l": 58, "r": 16, "t": 16, "b": 52},
        hoverlabel={"bgcolor": PAPER, "bordercolor": FAINT, "font": {"color": INK, "size": 13}},
        hovermode="closest",
        legend=legend_below(),
    )
    quiet = {
        "gridcolor": GRID,
        "linecolor": FAINT,
        "zeroline": False,
        "ticks": "",
        "automargin": True,
        "title_font": {"color": MUTED, "size": 13},
        "tickfont": {"color": MUTED, "size": 12},
    }
    figure.update_xaxes(**quiet)
    figure.update_yaxes(**quiet)
    figure.update_layout(**layout)
    return figure


def legend_below() -> dict[str, Any]:
    """A legend under the figure, where a phone has room for it."""
    return {
        "orientation": "h",
        "yref": "container",
        "y": 0,
        "yanchor": "bottom",
        "xref": "paper",
        "x": 0,
        "xanchor": "left",
        "font": {"size": 12, "color": INK},
        "itemsizing": "trace",
    }


def empty(message: str, *, height: int = 160) -> go.Figure:
    """A figure that says in words why there is nothing to draw; ``message`` is our own text."""
    figure = go.Figure()
    figure.add_annotation(
        text=message,
        showarrow=False,
        x=0.5,
        y=0.5,
        xref="paper",
        yref="paper",
        font={"color": MUTED, "size": 14},
    )
    styled(figure, height=height)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure
