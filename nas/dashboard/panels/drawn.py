"""Everything that the page draws by name, as tables and as files of its numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go

from nas.dashboard.genes import genes
from nas.dashboard.importance import gene_importance
from nas.dashboard.panels.architecture import block_costs
from nas.dashboard.panels.markup import guarded
from nas.dashboard.panels.study import front_pairs, hypervolume_of, marginal
from nas.dashboard.panels.tables import Table, drawn_rows, members_numbers
from nas.dashboard.panels.trade_off import axes_of, trade_off
from nas.dashboard.reading.files import mapping, rows_of
from nas.dashboard.reading.run import Snapshot
from nas.dashboard.state import State, metrics_of
from nas.dashboard.view import View
from nas.figures.axes import axis_of
from nas.figures.calibration import calibration_figure
from nas.figures.genes import importance_figure
from nas.figures.noise import fidelity_figure, noise_figure
from nas.figures.progress import training_figure
from nas.figures.text import cleaned
from nas.figures.usage import along_figure, usage_figure
from nas.report.calibrations import latency_calibration, memory_calibration

Named = tuple[go.Figure, str, str]
"""A figure and what its axes are."""
Runs = Sequence[Snapshot]


def table_of(state: State, view: View, runs: Runs, limit: int) -> Table | None:
    """What ``view.drawn`` names, as a table of at most ``limit`` rows; None where nothing is."""
    if view.drawn == "members":
        return members_numbers(runs, metrics_of(runs))
    if view.drawn == "architecture":
        return _architecture(state, view)
    build = FIGURES.get(view.drawn)
    if build is None:
        return None
    figure, x, y = build(state, view, runs)
    return ("what", x, y, "more"), drawn_rows(figure, limit)


def _architecture(state: State, view: View) -> Table | None:
    """The chosen architecture layer by layer; its genes where it has no trace yet."""
    chosen = state.find(view.point)
    if chosen is None:
        return None
    layers = () if chosen.member is None else chosen.member.layers
    if not layers:
        return ("gene", "value"), list(genes(chosen.architecture).items())
    head = ("layer", "operator", "tokens in", "tokens out", "grid", "parameters", "MACs")
    return head, [
        tuple(
            cleaned(cell, 80)
            for cell in (
                *(row.name, row.op, row.tokens_in, row.tokens_out),
                "" if row.grid is None else "×".join(map(str, row.grid)),
                *(row.params, row.macs),
            )
        )
        for row in layers
    ]


def _front(state: State, view: View, runs: Runs) -> Named:
    x, y = axes_of(view, runs)
    return trade_off(state, view, runs), x.title, y.title


def _hypervolume(state: State, view: View, runs: Runs) -> Named:
    return hypervolume_of(list(enumerate(runs))), "finished trials", "hypervolume"


def _training(state: State, view: View, runs: Runs) -> Named:
    return _joined(runs, lambda run: training_figure(run.content.training)), "epoch", "value"


def _layers(state: State, view: View, runs: Runs) -> Named:
    return usage_figure([m for _, m in front_pairs(runs)]), "block", "share of members"


def _along(state: State, view: View, runs: Runs) -> Named:
    x, _ = axes_of(view, runs)
    return along_figure(front_pairs(runs), x), "block", f"row, sorted by {x.label}"


def _genes(state: State, view: View, runs: Runs) -> Named:
    run = next(run for run in runs if run.log.trials)
    axis = axis_of(view.metric, run.front.objectives)
    return (
        importance_figure(gene_importance(run.log, view.metric), axis),
        f"share of the variation in {axis.label}",
        "gene",
    )


def _choices(state: State, view: View, runs: Runs) -> Named:
    run = next(run for run in runs if run.log.trials)
    axis = axis_of(view.metric, run.front.objectives)
    gene, figure = marginal(run, view, gene_importance(run.log, view.metric))
    return figure, f"choice of {gene}", f"median {axis.label}"


def _costs(state: State, view: View, runs: Runs) -> Named:
    chosen = state.find(view.point)
    layers = () if chosen is None or chosen.member is None else chosen.member.layers
    figure = go.Figure() if chosen is None else block_costs(state, chosen, layers)
    return figure, "ms or MB", "block"


def _calibration(build: Any) -> Callable[..., Named]:
    def made(state: State, view: View, runs: Runs) -> Named:
        figure = _joined(runs, lambda run: calibration_figure(build(run.content)))
        return figure, "measured", "predicted"

    return made


def _noise(state: State, view: View, runs: Runs) -> Named:
    return (
        _joined(runs, lambda run: noise_figure(run.measurements)),
        "measured latency [ms]",
        "spread",
    )


def _fidelity(state: State, view: View, runs: Runs) -> Named:
    def of(run: Snapshot) -> go.Figure:
        return fidelity_figure([mapping(row) for row in rows_of(run.proxies.get("table"))])

    return _joined(runs, of), "Kendall τ", "proxy"


def _joined(runs: Runs, build: Callable[[Snapshot], go.Figure]) -> go.Figure:
    """One figure's traces of all runs, each with the name of its run."""
    figure = go.Figure()
    for run in runs:
        for trace in guarded(lambda run=run: build(run)).data:
            trace.name = f"{run.key}: {trace.name or ''}".removesuffix(": ")
            figure.add_trace(trace)
    return figure


FIGURES: dict[str, Callable[[State, View, Runs], Named]] = {
    "trade-off": _front,
    "costs": _costs,
    "hypervolume": _hypervolume,
    "training": _training,
    "layers": _layers,
    "along": _along,
    "genes": _genes,
    "choices": _choices,
    "latency": _calibration(latency_calibration),
    "memory": _calibration(memory_calibration),
    "noise": _noise,
    "fidelity": _fidelity,
}
LABELS = {
    "members": "members of the fronts",
    "trade-off": "trade-off, every point",
    "architecture": "chosen architecture",
    "costs": "its blocks' time and memory",
    "hypervolume": "hypervolume",
    "training": "training of the supernet",
    "layers": "operators by depth",
    "along": "operators along the front",
    "genes": "gene importance",
    "choices": "choices of the gene",
    "latency": "latency, predicted, measured",
    "memory": "memory, predicted, measured",
    "noise": "measurement noise",
    "fidelity": "rank fidelity",
}
"""What can be shown as a table, as the page calls it."""
