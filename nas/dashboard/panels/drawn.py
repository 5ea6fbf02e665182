"""Every figure of the page by name, for tables and files of its numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go

from nas.dashboard.importance import gene_importance
from nas.dashboard.panels.study import hypervolume_of
from nas.dashboard.panels.trade_off import axes_of, trade_off
from nas.dashboard.reading.run import Snapshot
from nas.dashboard.view import View
from nas.figures.axes import axis_of
from nas.figures.calibration import calibration_figure
from nas.figures.genes import importance_figure
from nas.figures.noise import noise_figure
from nas.figures.usage import usage_figure
from nas.report.calibrations import latency_calibration, memory_calibration

Named = tuple[go.Figure, str, str]
"""A figure and what its axes are."""


def _front(state: Any, view: View, runs: Sequence[Snapshot]) -> Named:
    x, y = axes_of(view, runs)
    return trade_off(state, view, runs), x.title, y.title


def _hypervolume(state: Any, view: View, runs: Sequence[Snapshot]) -> Named:
    return hypervolume_of(list(enumerate(runs))), "finished trials", "hypervolume"


def _layers(state: Any, view: View, runs: Sequence[Snapshot]) -> Named:
    members = [m for run in runs for m in run.front.members if m.dominated is not True]
    return usage_figure(members), "block", "share of members"


def _genes(state: Any, view: View, runs: Sequence[Snapshot]) -> Named:
    run = next(run for run in runs if run.log.trials)
    axis = axis_of(view.metric, run.front.objectives)
    return (
        importance_figure(gene_importance(run.log, view.metric), axis),
        f"share of the variation in {axis.label}",
        "gene",
    )


def _calibration(build: Any) -> Callable[..., Named]:
    def made(state: Any, view: View, runs: Sequence[Snapshot]) -> Named:
        figure = go.Figure()
        for run in runs:
            for trace in calibration_figure(build(run.content)).data:
                trace.name = f"{run.key}: {trace.name}"
                figure.add_trace(trace)
        return figure, "measured", "predicted"

    return made


def _noise(state: Any, view: View, runs: Sequence[Snapshot]) -> Named:
    figure = go.Figure()
    for run in runs:
        for trace in noise_figure(run.measurements).data:
            trace.name = f"{run.key}: {trace.name}"
            figure.add_trace(trace)
    return figure, "measured latency [ms]", "spread"


FIGURES: dict[str, Callable[..., Named]] = {
    "trade-off": _front,
    "hypervolume": _hypervolume,
    "layers": _layers,
    "genes": _genes,
    "latency": _calibration(latency_calibration),
    "memory": _calibration(memory_calibration),
    "noise": _noise,
}
