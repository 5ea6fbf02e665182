"""Tabs about the study: hypervolume, operators by depth, genes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from dash import html

from nas.dashboard.importance import gene_choices, gene_importance, metric_of
from nas.dashboard.panels.markup import graph, guarded, heading, note
from nas.dashboard.panels.trade_off import axes_of
from nas.dashboard.reading.files import mapping
from nas.dashboard.reading.run import Snapshot
from nas.dashboard.view import View
from nas.figures.axes import axis_of
from nas.figures.genes import importance_figure, marginal_figure
from nas.figures.hypervolume import Moves, seeds_figure
from nas.figures.progress import training_figure
from nas.figures.style import empty
from nas.figures.usage import along_figure, usage_figure
from nas.front import Member
from nas.pareto import Direction


def search_tab(runs: Sequence[Snapshot]) -> list[Any]:
    """Hypervolume of all runs, and the training of the first."""
    parts: list[Any] = []
    by_question: dict[str, list[tuple[int, Snapshot]]] = {}
    for place, run in enumerate(runs):
        names = " ".join(str(o.get("name")) for o in run.log.objectives)
        by_question.setdefault(names, []).append((place, run))
    for number, (names, some) in enumerate(by_question.items()):
        if not names:
            continue
        figure = guarded(lambda some=some: hypervolume_of(some), 380)
        words = (
            f"The share of one common box that the front dominates ({names.replace(' ', ', ')}). "
            "Runs that differ in the seed alone have a median and a band, their whole range."
        )
        parts += [
            heading("Hypervolume over evaluations", words),
            graph(f"hypervolume-{number}", figure, label="hypervolume over evaluations"),
        ]
    trained = [run for run in runs if run.content.training]
    if trained:
        figure = guarded(lambda: training_figure(trained[0].content.training, height=300))
        parts += [
            heading("Training of the supernet", trained[0].key),
            graph("training", figure, label="training of the supernet"),
        ]
    return parts or [note("No search has left trials here.")]


def hypervolume_of(some: Sequence[tuple[int, Snapshot]]) -> Any:
    """The hypervolume of runs with the same objectives, each with the place of its colour."""
    known = [(place, run) for place, run in some if run.log.objectives]
    if not known:
        return empty("no trial yet")
    objectives = known[0][1].log.objectives
    some = [(place, run) for place, run in known if run.log.objectives == objectives]
    directions: Sequence[Direction] = some[0][1].log.directions
    moves = [
        Moves(
            name=run.key,
            group=group_of(run),
            colour=place,
            at=[at for at, _ in run.log.moves],
            values=[values for _, values in run.log.moves],
            trials=len(run.log.trials),
        )
        for place, run in some
    ]
    return seeds_figure(moves, directions)


def group_of(run: Snapshot) -> str:
    """What runs that differ in the seed alone have in common."""
    identity = run.log.identity
    parts = ("space", "profile", "objectives", "constraints", "sampler", "sampler_options")
    data = str(mapping(run.config.get("data")).get("name", ""))
    same = [data, *(json.dumps(identity.get(part), sort_keys=True)[:200] for part in parts)]
    label = " ".join(word for word in (data, str(identity.get("sampler", ""))) if word)
    import hashlib

    return f"{label} {hashlib.sha256(' '.join(same).encode()).hexdigest()[:4]}"


def layers_tab(runs: Sequence[Snapshot], view: View) -> list[Any]:
    """Operators by depth over the fronts, and member by member."""
    pairs = front_pairs(runs)
    x, _ = axes_of(view, runs)
    usage = guarded(lambda: usage_figure([m for _, m in pairs]))
    along = guarded(lambda: along_figure(pairs, x))
    return [
        heading(
            "Operators by depth",
            f"Over {len(pairs)} members of the fronts shown, dominated ones left out.",
        ),
        graph("usage", usage, label="operators by depth"),
        heading(
            "Along the front",
            f"One row a member, sorted by {x.label}; letters and colour are the attention.",
        ),
        graph({"type": "chart", "name": "along"}, along, label="operators of each member"),
    ]


def front_pairs(runs: Sequence[Snapshot]) -> list[tuple[str, Member]]:
    """Run and member of all members that no other dominates."""
    return [(run.key, m) for run in runs for m in run.front.members if m.dominated is not True]


def marginal(run: Snapshot, view: View, importance: Mapping[str, float]) -> tuple[str, go.Figure]:
    """A gene, the view's or the most important, and what each of its choices brings."""
    gene = view.gene if view.gene in run.log.choices else next(iter(importance), "")
    labels, choice_N = gene_choices(run.log, gene)
    axis = axis_of(view.metric, run.front.objectives)
    value_N = metric_of(run.log, view.metric)
    return gene, guarded(lambda: marginal_figure(gene, labels, choice_N, value_N, axis))


def genes_tab(runs: Sequence[Snapshot], view: View) -> tuple[list[Any], list[str]]:
    """Importance and marginals of the first run that has trials, and its genes."""
    run = next((run for run in runs if run.log.trials), None)
    if run is None:
        return [note("No trial yet.")], []
    axis = axis_of(view.metric, run.front.objectives)
    importance = gene_importance(run.log, view.metric)
    gene, choices = marginal(run, view, importance)
    words = (
        f"{run.key}, {len(run.log.trials):,} trials: the share of the variation in {axis.label} "
        "that a gene explains alone (ε²). A search tries good genes more often, so this is about "
        "what was tried, not about the whole space."
    )
    left = html.Div(
        [
            heading("Which genes matter", words),
            graph(
                {"type": "chart", "name": "importance"},
                guarded(lambda: importance_figure(importance, axis)),
                label="gene importance",
            ),
        ]
    )
    right = html.Div(
        [
            heading(
                "What each choice brings",
                "Median, quartiles, and 5 to 95 % of the trials. A click on a bar chooses a gene.",
            ),
            graph("marginal", choices, label=f"{axis.label} by choice of {gene}"),
        ]
    )
    return [html.Div([left, right], className="pair")], list(importance or run.log.choices)
