"""Where a network's time and memory go, block by block, from its stored trace alone.

Latency: an additive model ``t = t0 + Σ_blocks (a[op] + b[reduction]) + c · MACs`` with no negative
part, fitted to the networks measured on the profile (features of the stored predictor). Memory:
weights are counted, activations are the tensors that a part reads, makes and hands on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from nas.figures.palette import BLUE, FAINT, INK, ORANGE, PAPER
from nas.figures.style import empty, styled
from nas.figures.text import finite, plain, significant
from nas.figures.trace import Group, groups

if TYPE_CHECKING:
    from nas.front import Layer
    from search_spaces.architecture import Architecture, Block, Stage

BYTES = 4
"""Of a float32, in which CPU profiles compute."""
_MACS = ("linear_macs", "attention_macs", "matmul_macs", "conv_macs")
_PARTS = (
    ("fixed", FAINT, "", "per block, whatever its size"),
    ("attention", BLUE, "", "attention"),
    ("mlp", "#9aa5b1", "", "MLP"),
    ("reduction", ORANGE, "/", "token reduction"),
    ("other", INK, "", "embedding, position, head"),
)
_ROW, _FRAME = 26, 120


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyModel:
    """Latency as a sum over the blocks.

    Attributes:
        base_ms: of every network.
        per_layer_ms: of a block with this attention or reduction, by label.
        per_mac_ms: of one multiply-add.
        error: mean absolute relative error on the networks it was fitted to.
    """

    base_ms: float
    per_layer_ms: Mapping[str, float]
    per_mac_ms: float
    error: float


def fit_latency(predictor: Mapping[str, Any]) -> LatencyModel | None:
    """The model of a stored predictor's measurements; None where they cannot be read."""
    from scipy.optimize import nnls

    try:
        names = [str(name) for name in predictor["feature_names"]]
        features_NF = np.array(predictor["features"], dtype=np.float64)
        latency_N = np.array(predictor["latency_ms"], dtype=np.float64)
    except (KeyError, TypeError, ValueError):
        return None
    # The second ``layers_none`` counts blocks without a reduction: all but those of the others.
    layers = [i for i, n in enumerate(names) if n.startswith("layers_") and names.index(n) == i]
    macs = [i for i, name in enumerate(names) if name in _MACS]
    fits = features_NF.ndim == 2 and features_NF.shape == (len(latency_N), len(names))
    if not fits or len(latency_N) < 4 or not layers or not macs or not (latency_N > 0).all():
        return None
    macs_N = features_NF[:, macs].sum(axis=1)
    scale = float(macs_N.max()) or 1.0
    columns_NK = np.column_stack([np.ones(len(latency_N)), features_NF[:, layers], macs_N / scale])
    if not np.isfinite(columns_NK).all():
        return None
    # Relative errors count: a fast network is as much of a network as a slow one.
    weights, _ = nnls(columns_NK / latency_N[:, None], np.ones(len(latency_N)), maxiter=1000)
    error = float(np.abs(columns_NK @ weights / latency_N - 1).mean())
    per_layer: dict[str, float] = {}
    for column, index in enumerate(layers):
        label = names[index].removeprefix("layers_")
        per_layer[label] = per_layer.get(label, 0.0) + float(weights[1 + column])
    return LatencyModel(
        base_ms=float(weights[0]),
        per_layer_ms=per_layer,
        per_mac_ms=float(weights[-1]) / scale,
        error=error,
    )


def block_latencies(layers: Sequence[Layer], model: LatencyModel) -> list[dict[str, float]]:
    """Milliseconds by part, one mapping for each group of the trace."""
    made = []
    for group in groups(layers):
        parts: dict[str, float] = {}
        for part, layer in group.rows:
            key = part if part in ("attention", "mlp", "reduction") else "other"
            parts[key] = parts.get(key, 0.0) + model.per_mac_ms * _number(layer.macs)
            if part in ("attention", "reduction"):
                parts["fixed"] = parts.get("fixed", 0.0) + model.per_layer_ms.get(str(layer.op), 0)
        made.append(parts)
    if made:
        made[0]["other"] = made[0].get("other", 0.0) + model.base_ms
    return made


def block_memory(
    architecture: Architecture, layers: Sequence[Layer], batch: int
) -> list[dict[str, float]]:
    """Megabytes by part, one mapping for each group: ``weights`` and ``activations``."""
    blocks = list(architecture.blocks())
    made = []
    for group in groups(layers):
        weights = sum(_number(layer.params) for _, layer in group.rows) * BYTES / 1e6
        widest = 0.0
        if group.block is not None and group.block < len(blocks):
            stage, block = blocks[group.block]
            widest = max(_live(part, layer, stage, block) for part, layer in group.rows)
        made.append({"weights": weights, "activations": widest * BYTES * batch / 1e6})
    return made


def _live(part: str, layer: Layer, stage: Stage, block: Block) -> float:
    """Elements alive at the widest moment of a part, for one image."""
    before, after = _number(layer.tokens_in), _number(layer.tokens_out)
    inner = {"attention": 4 * block.inner, "mlp": block.mlp_hidden}.get(part, 0)
    return before * (2 * stage.width + inner) + (after - before if after > before else 0.0)


def layer_costs_figure(
    architecture: Architecture,
    layers: Sequence[Layer],
    model: LatencyModel | None,
    *,
    batch: int = 1,
) -> go.Figure:
    """Latency and memory of each block as bars.

    Args:
        architecture: the network.
        layers: its stored trace.
        model: of the profile; None leaves the latency out.
        batch: images in one call.
    """
    rows = groups(layers)
    if not rows:
        return empty("no trace is stored: the search's front is verified at its end")
    titles = [_title(group) for group in rows]
    columns = 2 if model else 1
    heads = ["latency [ms], estimated"] if model else []
    figure = make_subplots(
        rows=1,
        cols=columns,
        shared_yaxes=True,
        horizontal_spacing=0.07,
        subplot_titles=(*heads, "memory [MB]"),
    )
    if model is not None:
        per_block = block_latencies(layers, model)
        for part, colour, pattern, label in _PARTS:
            _add(figure, titles, [p.get(part, 0.0) for p in per_block], label, colour, pattern, 1)
    memory = block_memory(architecture, layers, batch)
    for part, colour, pattern in (("weights", "#33658a", ""), ("activations", "#86bbd8", "x")):
        values = [row[part] for row in memory]
        _add(figure, titles, values, f"{part} [MB]", colour, pattern, columns)
    styled(figure, height=_FRAME + _ROW * len(rows), barmode="stack", bargap=0.3, dragmode=False)
    figure.update_layout(margin={"l": 8, "r": 16, "t": 34, "b": 92})
    figure.update_yaxes(autorange="reversed", showgrid=False, fixedrange=True, linecolor=FAINT)
    figure.update_xaxes(fixedrange=True, nticks=5)
    figure.update_annotations(font={"size": 13, "color": INK})
    return figure


def _add(
    figure: go.Figure,
    titles: Sequence[str],
    values: Sequence[float],
    label: str,
    colour: str,
    pattern: str,
    column: int,
) -> None:
    if not any(values):
        return
    figure.add_trace(
        go.Bar(
            x=list(values),
            y=list(titles),
            orientation="h",
            name=label,
            marker={
                "color": colour,
                "line": {"width": 1, "color": PAPER},
                "pattern": {
                    "shape": pattern,
                    "bgcolor": colour,
                    "fgcolor": PAPER,
                    "solidity": 0.25,
                },
            },
            hovertext=[
                f"{t}<br>{label}: {significant(v)}" for t, v in zip(titles, values, strict=True)
            ],
            hoverinfo="text",
        ),
        row=1,
        col=column,
    )


def _title(group: Group) -> str:
    if group.block is None:
        return plain(group.title, 24)
    ops = dict(group.rows)
    mixer = str(ops["attention"].op).partition("(")[0] if "attention" in ops else ""
    return plain(f"{group.block + 1}  {mixer}", 24)


def _number(value: object) -> float:
    return finite(value) or 0.0
