"""Small pieces of the page. Dash escapes text; what is cut and cleaned is done here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from dash import dcc, html

from nas.figures.style import empty
from nas.figures.text import cleaned

GRAPH_CONFIG: Any = {
    "displaylogo": False,
    "responsive": True,
    "scrollZoom": True,
    # Plotly's button for sharing would send the figure to its makers.
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "sendChartToCloud"],
    "plotlyServerURL": "",
    "toImageButtonOptions": {"format": "svg", "filename": "formfinder"},
}
_STILL: Any = {**GRAPH_CONFIG, "scrollZoom": False, "displayModeBar": False}


def graph(name: Any, figure: go.Figure, *, still: bool = True, label: str = "") -> Any:
    """A figure; ``still`` ones neither zoom nor scroll away."""
    return html.Div(
        dcc.Graph(id=name, figure=figure, config=_STILL if still else GRAPH_CONFIG),
        **_aria(label or str(name)),
    )


def guarded(build: Any, height: int = 160) -> go.Figure:
    """A figure; hostile or half-written data costs one figure, not the page."""
    try:
        figure: go.Figure = build()
    except Exception as error:
        from nas.figures.text import plain

        return empty(f"this figure cannot be drawn: {plain(error, 80)}", height=height)
    return figure


def note(*text: Any) -> Any:
    """A quiet sentence."""
    return html.P(list(text), className="note")


def heading(title: str, how: str = "") -> Any:
    """A section's heading and the sentence on how to read it."""
    return html.Div([html.H3(title), html.P(how, className="note")] if how else [html.H3(title)])


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], name: str = "") -> Any:
    """A table; cells are text or components, the first of a row is its heading."""
    body = [
        html.Tr([html.Th(_cell(row[0]), scope="row"), *(html.Td(_cell(c)) for c in row[1:])])
        for row in rows
    ]
    titles = html.Tr([html.Th(title, scope="col") for title in head])
    parts: list[Any] = [html.Thead(titles)] if head else []
    parts.append(html.Tbody(body))
    # Can be scrolled by keys, too.
    return html.Div(html.Table(parts), className="scroll", tabIndex="0", **_aria(name))


def _aria(label: str) -> dict[str, Any]:
    return {"aria-label": cleaned(label, 100)}


def _cell(value: Any) -> Any:
    return cleaned(value, 200) if isinstance(value, str | int | float) else value


def command(text: str) -> Any:
    """A line to copy."""
    line = cleaned(text, 2000)
    return html.Div(
        [html.Code(line), dcc.Clipboard(content=line, title="copy", className="copy")],
        className="command",
    )
