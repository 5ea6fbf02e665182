"""The chosen architecture: drawn, weighed, compared, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import html

from nas.dashboard.commands import commands_for
from nas.dashboard.genes import difference, nearest
from nas.dashboard.panels.markup import command, graph, guarded, note, table
from nas.dashboard.reading.files import mapping
from nas.dashboard.reading.provisional import checked_architecture
from nas.dashboard.state import Chosen, State, home_of
from nas.figures.axes import axis_of
from nas.figures.drawing import architecture_figure
from nas.figures.layer_costs import layer_costs_figure
from nas.figures.text import cleaned, finite, percent
from nas.front import Metric
from nas.report.headline import date_words, profile_words

MAX_LAYERS = 1000


def details(state: State, chosen: Chosen | None, pinned: Chosen | None) -> list[Any]:
    """Everything about the chosen architecture."""
    if chosen is None:
        return [
            html.Div(
                [
                    html.P("No architecture chosen.", className="empty-title"),
                    note("Click a point of the trade-off, or a digest in the table."),
                ],
                className="empty",
            )
        ]
    member = chosen.member
    layers = member.layers[:MAX_LAYERS] if member is not None else ()

    def drawing() -> Any:
        checked = checked_architecture(chosen.architecture.to_dict())
        return architecture_figure(checked, layers, height=340 if layers else 260)

    figure = graph("drawing", guarded(drawing), label="the architecture, block by block")
    return [
        _numbers(chosen, pinned),
        figure,
        note(_legend(bool(layers))),
        *_costs(state, chosen, layers),
        *_difference(chosen, pinned),
        *_origin(chosen),
        html.H4("Next"),
        *(
            html.Div([html.P(why, className="why"), command(line)])
            for why, line in _lines(state, chosen)
        ),
    ]


def _lines(state: State, chosen: Chosen) -> list[tuple[str, str]]:
    try:
        return commands_for(chosen, home_of(chosen, state.runs()))
    except Exception:  # an architecture made up by hand may have anything in it
        return []


def _legend(traced: bool) -> str:
    drawn = (
        "Heights are channels: the pale band is the width, a coloured column the attention with "
        "one segment a head, the grey one the MLP."
    )
    return f"{drawn} Below, the tokens." if traced else f"{drawn} Tokens: after verification."


def title(chosen: Chosen | None) -> Any:
    """The heading of the panel."""
    if chosen is None:
        return "Architecture"
    marks = []
    if chosen.member is not None:
        digest = chosen.architecture.digest()
        marks = [
            (digest == chosen.run.front.winner, "winner"),
            (chosen.member.tied is True, "tied with the most accurate"),
            (chosen.member.dominated is True, "dominated"),
        ]
    return [
        "Architecture ",
        html.Code(chosen.architecture.digest(), className="digest"),
        *(html.Span(mark, className="mark") for holds, mark in marks if holds),
    ]


def _numbers(chosen: Chosen, pinned: Chosen | None) -> Any:
    """A table of metrics: value, interval, prediction, and the pinned one's."""
    objectives = chosen.run.front.objectives
    known = _metrics(chosen)
    other = {} if pinned is None else _metrics(pinned)
    rows = []
    for name in list(known)[:20]:
        axis, metric = axis_of(name, objectives), known[name]
        believed = mapping(metric.predicted)
        interval = axis.show_range(metric.low, metric.high)
        row = [
            cleaned(axis.label, 40),
            html.B(axis.show(metric.value)),
            f"{metric.kind}{f', {interval}' if interval else ''}",
            _predicted(axis, believed),
        ]
        if pinned is not None:
            row.append(axis.show(other[name].value) if name in other else "–")
        rows.append(row)
    head = ["", "value", "how", "predicted", *(["pinned"] if pinned else [])]
    return table(head, rows, "metrics")


def _predicted(axis: Any, believed: Mapping[str, Any]) -> str:
    if finite(believed.get("value")) is None:
        return "–"
    between = axis.show_range(believed.get("low"), believed.get("high"))
    return f"{axis.show(believed['value'])}{f' ({between})' if between else ''}"


def _metrics(chosen: Chosen) -> dict[str, Metric]:
    if chosen.member is not None:
        return dict(chosen.member.metrics)
    if chosen.trial is None:
        alone = chosen.baseline
        return {name: Metric(value=value, kind="baseline") for name, value in alone.items()}
    known = {**chosen.trial.partial, **chosen.trial.metrics}
    return {name: Metric(value=value, kind="search") for name, value in known.items()}


def _costs(state: State, chosen: Chosen, layers: Any) -> list[Any]:
    if not layers:
        return []
    model = state.latency_model(chosen.run)
    figure = guarded(lambda: block_costs(state, chosen, layers))
    words = "Memory: float32 weights, and what is alive at a block's widest moment. " + (
        "Latency: an additive model of the networks measured on this profile "
        f"(mean error {percent(model.error)}), not a measurement of single layers."
        if model
        else "No predictor is stored, so latency is not split."
    )
    return [
        html.H4("Where time and memory go"),
        graph("layer-costs", figure, label="latency and memory of each block"),
        note(words),
    ]


def block_costs(state: State, chosen: Chosen, layers: Any) -> Any:
    """Time and memory of each block, as a figure."""
    model = state.latency_model(chosen.run)
    batch = finite(mapping(chosen.run.front.profile).get("batch"))
    images = int(batch) if batch and batch < 1e5 else 1
    return layer_costs_figure(chosen.architecture, layers, model, batch=images)


def _difference(chosen: Chosen, pinned: Chosen | None) -> list[Any]:
    try:
        if pinned is not None and pinned.architecture != chosen.architecture:
            name = f"pinned {pinned.architecture.digest()[:8]}"
            other = pinned.architecture
        else:
            front = chosen.run.front
            found = nearest(chosen.architecture, chosen.run.baselines, front.members, front.winner)
            if found is None:
                return []
            name, other = found
        rows = difference(chosen.architecture, other)
    except Exception:  # a damaged architecture
        return []
    words = html.H4(f"Genes that differ from {name}")
    if not rows:
        return [words, note("None.")]
    return [words, table(["gene", "this", name], rows, "difference")]


def _origin(chosen: Chosen) -> list[Any]:
    """Provenance: run, trial, data, profile, machine, dates."""
    front, trial = chosen.run.front, chosen.trial
    config = chosen.run.config
    latency = None if chosen.member is None else chosen.member.metrics.get("latency_ms")
    source = mapping(latency.source if latency else None)
    machine = mapping(source.get("machine"))
    origin = mapping(chosen.member.origin if chosen.member else None)
    rows = [
        ("run", str(origin.get("run") or chosen.run.key)),
        ("trial", "" if trial is None else f"{trial.number}, {trial.source}"),
        ("repaired genes", "" if trial is None else ", ".join(map(str, trial.repairs[:20]))),
        ("seed", str(origin.get("seed", config.get("seed", "")))),
        ("data", str(mapping(config.get("data")).get("name", ""))),
        ("profile", profile_words(mapping(front.profile)) or str(front.profile.get("key", ""))),
        ("machine", str(machine.get("processor", ""))),
        ("measured", date_words(source["date"]) if "date" in source else ""),
        ("supernet weights", str(front.weights)[:16]),
        ("code version", str(front.code_version)),
    ]
    shown = [(name, value) for name, value in rows if value]
    return [html.H4("Where it came from"), table([], shown, "origin")]
