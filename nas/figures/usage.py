"""Which operators stand where: by depth over a front, and member by member along it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from nas.figures.axes import Axis
from nas.figures.front_points import measured
from nas.figures.palette import PAPER, on_colour, op_code, op_colour, op_pattern
from nas.figures.style import empty, styled
from nas.figures.text import plain

if TYPE_CHECKING:
    from nas.front import Member

MAX_DEPTH = 60
MAX_MEMBERS = 60


def usage_figure(members: Sequence[Member], *, height: int = 420) -> go.Figure:
    """Shares of attention types and reductions among the blocks of each depth.

    Args:
        members: of one or several fronts.
        height: in pixels.
    """
    rows = [list(member.architecture.blocks())[:MAX_DEPTH] for member in members]
    depth = max(map(len, rows), default=0)
    if not depth:
        return empty("no front yet", height=height)
    figure = make_subplots(
        rows=1, cols=2, subplot_titles=("attention", "token reduction"), horizontal_spacing=0.1
    )
    for column, field in enumerate(("attention", "reduction"), start=1):
        placed = [[getattr(block, field).op for _, block in row] for row in rows]
        for op in sorted({op for ops in placed for op in ops}, key=lambda op: (op == "none", op)):
            counts = [sum(len(ops) > d and ops[d] == op for ops in placed) for d in range(depth)]
            there = [sum(len(ops) > d for ops in placed) for d in range(depth)]
            figure.add_trace(_bars(op, field, counts, there), row=1, col=column)
    styled(figure, height=height, barmode="stack", bargap=0.25)
    figure.update_layout(margin={"l": 58, "r": 16, "t": 40, "b": 96})
    figure.update_yaxes(tickformat=".0%", range=[0, 1])
    figure.update_xaxes(title_text="block", dtick=1 if depth <= 16 else None, showgrid=False)
    figure.update_yaxes(title_text="share of members with such a block", row=1, col=1)
    return figure


def _bars(op: str, field: str, counts: Sequence[int], there: Sequence[int]) -> go.Bar:
    colour = op_colour(op)
    return go.Bar(
        x=list(range(1, len(counts) + 1)),
        y=[count / total if total else 0.0 for count, total in zip(counts, there, strict=True)],
        name=plain(op, 40) if op != "none" else f"no {field}",
        legendgroup=field,
        marker={
            "color": colour,
            "line": {"width": 1, "color": PAPER},
            "pattern": {"shape": op_pattern(op), "bgcolor": colour, "fgcolor": on_colour(colour)},
        },
        hovertext=[
            f"block {d}: {plain(op, 40)} in {count} of {total} members"
            for d, (count, total) in enumerate(zip(counts, there, strict=True), start=1)
        ],
        hoverinfo="text",
    )


def along_figure(members: Sequence[tuple[str, Member]], x: Axis) -> go.Figure:
    """Every member as a row of its blocks, sorted by ``x``: colour and letters are the attention,
    a triangle is a token reduction.

    Args:
        members: run and member.
        x: the metric to sort by.
    """
    known = [(run, m) for run, m in members if measured(m, x) is not None]
    known.sort(key=lambda pair: measured(pair[1], x) or 0.0, reverse=x.direction == "max")
    known = known[:MAX_MEMBERS]
    if not known:
        return empty("no front yet")
    by_op: dict[str, dict[str, list[Any]]] = {}
    drops: dict[str, list[Any]] = {"x": [], "y": [], "hovertext": []}
    for row, (run, member) in enumerate(known):
        for place, (_, block) in enumerate(list(member.architecture.blocks())[:MAX_DEPTH], start=1):
            op = block.attention.op
            points = by_op.setdefault(op, {"x": [], "y": [], "hovertext": [], "customdata": []})
            points["x"].append(place)
            points["y"].append(row)
            points["hovertext"].append(
                f"{member.digest[:8]} {plain(run, 40)}<br>block {place}: "
                f"{plain(block.attention, 60)}, {block.heads} heads, MLP {block.mlp_hidden}"
            )
            points["customdata"].append([plain(run, 60), member.digest])
            if block.reduction.op != "none":
                drops["x"].append(place + 0.4)
                drops["y"].append(row)
                drops["hovertext"].append(plain(block.reduction, 60))
    figure = go.Figure([_badges(op, points) for op, points in sorted(by_op.items())])
    if drops["x"]:
        figure.add_trace(
            go.Scatter(
                **drops,
                mode="markers",
                marker={"symbol": "triangle-down", "size": 9, "color": "#b34700"},
                name="token reduction behind it",
                hoverinfo="text",
            )
        )
    styled(figure, height=130 + 26 * len(known))
    figure.update_layout(margin={"l": 130, "r": 16, "t": 34, "b": 80})
    figure.update_xaxes(title_text="block", dtick=1, showgrid=False, side="top", title_standoff=4)
    figure.update_yaxes(
        tickvals=list(range(len(known))),
        ticktext=[f"{x.show(measured(m, x))}  {m.digest[:6]}" for _, m in known],
        range=[len(known) - 0.4, -0.6],
        showgrid=False,
    )
    return figure


def _badges(op: str, points: dict[str, list[Any]]) -> go.Scatter:
    colour = op_colour(op)
    return go.Scatter(
        **points,
        mode="markers+text",
        text=[op_code(op)] * len(points["x"]),
        textfont={"size": 10, "color": on_colour(colour)},
        marker={"symbol": "square", "size": 21, "color": colour},
        name=plain(op, 40) if op != "none" else "no attention",
        hoverinfo="text",
    )
