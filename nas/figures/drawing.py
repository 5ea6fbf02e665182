"""An architecture, layer by layer.

Heights are channels: the pale band is the stream between blocks, a coloured column the attention
(one segment a head, so its height is heads × head width), the grey column the hidden layer of the
MLP. The lower strip is the number of tokens, which falls where a reduction stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from nas.figures.palette import (
    FAINT,
    GRID,
    INK,
    MUTED,
    PAPER,
    VERMILLION,
    on_colour,
    op_code,
    op_colour,
    op_pattern,
)
from nas.figures.style import empty, styled
from nas.figures.text import counted, finite, plain
from nas.figures.trace import Drop, groups, token_steps

if TYPE_CHECKING:
    from nas.front import Layer
    from search_spaces.architecture import Architecture, Block, OpSetting, Stage

MAX_BLOCKS = 200
MAX_HEADS = 64
"""More are drawn as one column."""
_ATTENTION_AT, _MLP_AT = -0.21, 0.21
_ATTENTION_WIDTH, _MLP_WIDTH = 0.34, 0.22

_Blocks = list[tuple["Stage", "Block"]]


def architecture_figure(
    architecture: Architecture, layers: Sequence[Layer] = (), *, height: int = 430
) -> go.Figure:
    """Draw a network.

    Args:
        architecture: the network.
        layers: its trace; without it the strip of tokens is left out.
        height: in pixels.
    """
    blocks: _Blocks = list(architecture.blocks())[:MAX_BLOCKS]
    if not blocks:
        return empty("an architecture without blocks")
    strip = _tokens(layers)
    figure = make_subplots(
        rows=2 if strip else 1,
        cols=1,
        shared_xaxes=True,
        row_heights=[0.7, 0.3] if strip else [1.0],
        vertical_spacing=0.04,
    )
    top = max(max(stage.width, block.inner, block.mlp_hidden) for stage, block in blocks)
    figure.add_traces([_stream(blocks), *_mlps(blocks)], rows=1, cols=1)
    figure.add_traces(_attentions(blocks, layers), rows=1, cols=1)
    figure.add_traces([_sizes(blocks)], rows=1, cols=1)
    figure.add_traces(_badges(blocks, -0.5 * top * 1.22), rows=1, cols=1)
    if strip:
        figure.add_traces(strip, rows=2, cols=1)
        figure.update_yaxes(rangemode="tozero", row=2, col=1)
        figure.add_hline(y=0, line={"width": 1, "color": FAINT}, row=2, col=1)
    _frame(figure, len(blocks), top, height)
    return figure


def _stream(blocks: _Blocks) -> go.Bar:
    """The residual stream as a band as high as it has channels.

    It is made of bars as plotly draws every bar beneath every line: a filled line would hide them.
    """
    widths = [stage.width for stage, _ in blocks]
    return go.Bar(
        x=list(range(len(blocks))),
        y=widths,
        base=[-width / 2 for width in widths],
        width=1.0,
        marker={"color": GRID, "line": {"width": 0}},
        hovertext=[f"stream of {width} channels" for width in widths],
        hoverinfo="text",
        name="stream: width",
    )


def _mlps(blocks: _Blocks) -> list[go.Bar]:
    return [
        go.Bar(
            x=[index + _MLP_AT for index in range(len(blocks))],
            y=[block.mlp_hidden for _, block in blocks],
            base=[-block.mlp_hidden / 2 for _, block in blocks],
            width=_MLP_WIDTH,
            marker={"color": "#9aa5b1", "line": {"width": 0}},
            name="MLP: hidden width",
            hovertext=[
                f"MLP of block {index + 1}<br>{block.mlp_hidden} hidden channels, "
                f"{block.mlp_hidden / (stage.width or 1):.3g} × the width {stage.width}"
                for index, (stage, block) in enumerate(blocks)
            ],
            hoverinfo="text",
        )
    ]


def _attentions(blocks: _Blocks, layers: Sequence[Layer]) -> list[go.Bar]:
    """One trace an operator, one bar a head."""
    traced = {g.block: dict(g.rows).get("attention") for g in groups(layers) if g.block is not None}
    made = []
    for op in _ops(blocks):
        bars: dict[str, list[Any]] = {"x": [], "y": [], "base": [], "hovertext": []}
        for index, (stage, block) in enumerate(blocks):
            if block.attention.op != op or op == "none":
                continue
            segments, size = max(block.heads, 1), block.head_dim or stage.width
            if segments > MAX_HEADS:
                segments, size = 1, segments * size
            for head in range(segments):
                bars["x"].append(index + _ATTENTION_AT)
                bars["y"].append(size)
                bars["base"].append(size * (head - segments / 2))
                bars["hovertext"].append(_hover(index, block, traced.get(index)))
        colour, pattern = op_colour(op), op_pattern(op)
        marker = {
            "color": colour,
            "line": {"width": 1.5, "color": PAPER},
            "pattern": {
                "shape": pattern,
                "bgcolor": colour,
                "fgcolor": on_colour(colour),
                "size": 6,
                "solidity": 0.25,
            },
        }
        made.append(
            go.Bar(
                **bars,
                width=_ATTENTION_WIDTH,
                marker=marker,
                hoverinfo="text",
                showlegend=False,
                legendgroup=plain(op, 60),
            )
        )
    return made


def _hover(index: int, block: Block, layer: Layer | None) -> str:
    lines = [f"<b>block {index + 1}: {plain(block.attention, 80)}</b>"]
    if block.heads:
        lines.append(f"{block.heads} heads of {block.head_dim} channels")
    if layer is not None:
        params, macs = finite(layer.params), finite(layer.macs)
        lines.append(f"{counted(params or 0)} parameters, {counted(macs or 0)} MACs")
    return "<br>".join(lines)


def _sizes(blocks: _Blocks) -> go.Scatter:
    """Heads and MLP ratio as small numbers over their columns."""
    xs, ys, texts = [], [], []
    for index, (stage, block) in enumerate(blocks):
        if block.heads and block.attention.op != "none":
            xs.append(index + _ATTENTION_AT)
            ys.append(block.inner / 2)
            texts.append(f"{block.heads}h")
        xs.append(index + _MLP_AT)
        ys.append(block.mlp_hidden / 2)
        texts.append(f"×{block.mlp_hidden / (stage.width or 1):.2g}")
    return go.Scatter(
        x=xs,
        y=ys,
        text=texts,
        mode="text",
        textposition="top center",
        textfont={"size": 11, "color": MUTED},
        hoverinfo="skip",
        showlegend=False,
    )


def _badges(blocks: _Blocks, y: float) -> list[go.Scatter]:
    """Colour and letters of each block's attention; they are the legend too."""
    made = []
    for op in _ops(blocks):
        places = [i for i, (_, block) in enumerate(blocks) if block.attention.op == op]
        settings = [blocks[i][1].attention for i in places]
        colour, code = op_colour(op), op_code(op)
        labels = " / ".join(sorted({_setting(setting) for setting in settings}))
        made.append(
            go.Scatter(
                x=places,
                y=[y] * len(places),
                mode="markers+text",
                text=[code] * len(places),
                textfont={"size": 11, "color": on_colour(colour), "weight": 600},
                marker={"size": 24, "color": colour, "symbol": "circle"},
                name="– no attention" if op == "none" else f"<b>{code}</b> {labels}",
                hovertext=[plain(setting, 80) for setting in settings],
                hoverinfo="text",
                legendgroup=plain(op, 60),
            )
        )
    return made


def _setting(setting: OpSetting) -> str:
    """``window 4``: the operator with its values; their names are in the hover text."""
    values = ", ".join(f"{key} {value}" for key, value in setting.params)
    return plain(f"{setting.op} ({values})" if values else setting.op, 60)


def _ops(blocks: _Blocks) -> list[str]:
    return list(dict.fromkeys(block.attention.op for _, block in blocks))


def _tokens(layers: Sequence[Layer]) -> list[go.Scatter]:
    corners, drops = token_steps(layers)
    if not corners:
        return []
    area = go.Scatter(
        x=[x for x, _ in corners],
        y=[y for _, y in corners],
        mode="lines",
        fill="tozeroy",
        line={"width": 2, "color": INK},
        fillcolor="rgba(86,180,233,0.25)",
        name="tokens",
        hovertemplate="%{y} tokens<extra></extra>",
        showlegend=False,
    )
    (left, first), (right, last) = corners[0], corners[-1]
    ends = _labels([left + 0.06, right - 0.06], [first, last], INK)
    ends.update(
        text=[f"<b>{first:g}</b> tokens", f"<b>{last:g}</b>"],
        textposition=["top right", "top left"],
    )
    return [area, ends, *_falls(drops)]


def _falls(drops: Sequence[Drop]) -> list[go.Scatter]:
    if not drops:
        return []
    made = _labels([drop.x for drop in drops], [drop.before for drop in drops], VERMILLION)
    made.update(
        mode="markers+text",
        marker={"symbol": "triangle-down", "size": 9, "color": VERMILLION},
        text=[f"{plain(drop.op.partition('(')[0], 20)} → {drop.after:g}" for drop in drops],
        textposition="top center",
        hovertext=[f"{plain(d.op)}<br>{d.before:g} → {d.after:g} tokens" for d in drops],
        hoverinfo="text",
    )
    return [made]


def _labels(xs: Sequence[float], ys: Sequence[float], colour: str) -> go.Scatter:
    return go.Scatter(
        x=list(xs),
        y=list(ys),
        mode="text",
        textfont={"size": 12, "color": colour},
        hoverinfo="skip",
        showlegend=False,
        cliponaxis=False,
    )


def _frame(figure: go.Figure, count: int, top: float, height: int) -> None:
    styled(figure, height=height, barmode="overlay", bargap=0, dragmode=False)
    figure.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 76})
    figure.update_xaxes(
        range=[-0.56, count - 0.44],
        showgrid=False,
        showline=False,
        fixedrange=True,
        tickvals=list(range(count)),
        ticktext=[f"block {i + 1}" if count <= 6 else str(i + 1) for i in range(count)],
    )
    if "xaxis2" in figure.layout:
        figure.update_xaxes(showticklabels=False, row=1, col=1)
    figure.update_yaxes(visible=False, fixedrange=True)
    figure.update_yaxes(range=[-0.5 * top * 1.42, 0.5 * top * 1.2], row=1, col=1)
