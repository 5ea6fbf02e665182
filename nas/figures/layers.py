"""Where the parameters and the work of a network are: a bar a block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from nas.figures.palette import BLUE, FAINT, INK, ORANGE, PAPER
from nas.figures.style import empty, styled
from nas.figures.text import counted, finite, plain
from nas.figures.trace import Group, groups

if TYPE_CHECKING:
    from nas.front import Layer

_PARTS = (
    ("attention", BLUE, "", "attention"),
    ("mlp", "#9aa5b1", "", "MLP"),
    ("reduction", ORANGE, "/", "token reduction"),
    ("other", INK, "", "embedding, position, head"),
)
_ROW, _FRAME = 26, 110


def layers_figure(layers: Sequence[Layer]) -> go.Figure:
    """Parameters and MACs of each block, split into attention, MLP and reduction."""
    rows = groups(layers)
    if not rows:
        return empty("no trace is stored")
    figure = make_subplots(
        rows=1,
        cols=2,
        shared_yaxes=True,
        horizontal_spacing=0.06,
        subplot_titles=("parameters", "MACs for one image"),
    )
    titles = [_title(group) for group in rows]
    for column, field in enumerate(("params", "macs"), start=1):
        for part, colour, pattern, label in _PARTS:
            values = [_sum(group, part, field) for group in rows]
            if not any(values):
                continue
            figure.add_trace(
                go.Bar(
                    x=values,
                    y=titles,
                    orientation="h",
                    name=label,
                    legendgroup=part,
                    showlegend=column == 1,
                    marker={
                        "color": colour,
                        "line": {"width": 1, "color": PAPER},
                        "pattern": {"shape": pattern, "bgcolor": colour, "fgcolor": PAPER},
                    },
                    hovertext=[_hover(g, part, field) for g in rows],
                    hoverinfo="text",
                ),
                row=1,
                col=column,
            )
    return _framed(figure, len(rows))


def _framed(figure: go.Figure, rows: int) -> go.Figure:
    styled(figure, height=_FRAME + _ROW * rows, barmode="stack", bargap=0.3, dragmode=False)
    figure.update_layout(margin={"l": 8, "r": 16, "t": 34, "b": 66})
    figure.update_yaxes(autorange="reversed", showgrid=False, fixedrange=True, linecolor=FAINT)
    figure.update_xaxes(fixedrange=True, nticks=5, tickformat="~s", exponentformat="SI")
    figure.update_annotations(font={"size": 13, "color": INK})
    return figure


def _title(group: Group) -> str:
    if group.block is None:
        return plain(group.title, 24)
    ops = dict(group.rows)
    mixer = str(ops["attention"].op).partition("(")[0] if "attention" in ops else ""
    return plain(f"{group.block + 1}  {mixer}", 24)


def _sum(group: Group, part: str, field: str) -> float:
    known = {name for name, *_ in _PARTS}
    rows = [row for name, row in group.rows if (name if name in known else "other") == part]
    return sum(finite(getattr(row, field)) or 0.0 for row in rows)


def _hover(group: Group, part: str, field: str) -> str:
    ops = ", ".join(str(row.op) for name, row in group.rows if name == part or part == "other")
    unit = "parameters" if field == "params" else "MACs"
    return (
        f"{plain(group.title, 40)}: {plain(ops, 80)}<br>{counted(_sum(group, part, field))} {unit}"
    )
