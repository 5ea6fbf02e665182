"""Which genes matter, and what each choice of one brings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from nas.figures.axes import Axis
from nas.figures.palette import BLUE, MUTED
from nas.figures.style import empty, styled
from nas.figures.text import plain

MAX_GENES = 20
MAX_CHOICES = 24


def importance_figure(importance: Mapping[str, float], axis: Axis, *, height: int = 0) -> go.Figure:
    """Genes by their share in the variation of a metric.

    Args:
        importance: share by gene.
        axis: the metric.
        height: in pixels, 0: as the number of genes asks.
    """
    if not importance:
        return empty("too few trials to tell which genes matter")
    kept = sorted(importance.items(), key=lambda pair: -pair[1])[:MAX_GENES]
    names = [plain(name, 40) for name, _ in kept]
    figure = go.Figure(
        go.Bar(
            x=[share for _, share in kept],
            y=names,
            orientation="h",
            marker={"color": BLUE},
            customdata=[[name] for name, _ in kept],
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
            showlegend=False,
        )
    )
    styled(figure, height=height or 90 + 24 * len(kept), bargap=0.35)
    figure.update_layout(margin={"l": 8, "r": 16, "t": 8, "b": 48})
    figure.update_xaxes(title_text=f"share of the variation in {axis.title}", tickformat=".0%")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def marginal_figure(
    gene: str,
    labels: Sequence[str],
    choice_N: NDArray[np.int64],
    value_N: NDArray[np.float64],
    axis: Axis,
    *,
    height: int = 380,
) -> go.Figure:
    """A metric's spread for every choice of one gene.

    Args:
        gene: its name.
        labels: its choices.
        choice_N: index of each trial's choice, below 0 where unknown.
        value_N: the metric, NaN where unknown.
        axis: the metric.
        height: in pixels.
    """
    figure = go.Figure()
    there = np.isfinite(value_N)
    stats = []
    for index, label in enumerate(labels[:MAX_CHOICES]):
        values = value_N[there & (choice_N == index)]
        if len(values):
            stats.append(
                (plain(label, 30), len(values), np.percentile(values, (5, 25, 50, 75, 95)))
            )
    if not stats:
        return empty("no trial has this gene and this metric", height=height)
    quantiles = np.stack([q for *_, q in stats])
    names = [name for name, *_ in stats]
    figure.add_trace(
        go.Box(
            x=names,
            lowerfence=quantiles[:, 0],
            q1=quantiles[:, 1],
            median=quantiles[:, 2],
            q3=quantiles[:, 3],
            upperfence=quantiles[:, 4],
            fillcolor="rgba(0,114,178,0.18)",
            line={"color": BLUE, "width": 1.5},
            showlegend=False,
            width=0.5,
        )
    )
    counted = [f"{count:,}" for _, count, _ in stats]
    styled(figure, height=height)
    figure.update_layout(margin={"l": 58, "r": 16, "t": 30, "b": 60})
    figure.update_xaxes(title_text=f"{plain(gene, 60)} (number of trials above)", type="category")
    figure.update_yaxes(title_text=axis.title, tickformat=axis.tick_format)
    for place, count in enumerate(counted):
        figure.add_annotation(
            x=place,  # a name that is a number would be taken for a place
            y=1,
            yref="paper",
            yanchor="bottom",
            text=count,
            showarrow=False,
            font={"size": 11, "color": MUTED},
        )
    return figure
