"""How the search and the training went, over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from nas.figures.palette import BLUE, GREEN, ORANGE, SERIES, VERMILLION
from nas.figures.style import empty, styled
from nas.figures.text import finite, plain

if TYPE_CHECKING:
    from nas.study.trials import FinishedTrial

MAX_POINTS = 5000


def hypervolume_figure(
    studies: Sequence[tuple[str, Sequence[FinishedTrial]]], *, height: int = 340
) -> go.Figure:
    """The share of the objectives' box that the front covers, trial by trial.

    Args:
        studies: name and finished trials of each run.
        height: in pixels.
    """
    figure = go.Figure()
    for number, (name, trials) in enumerate(studies):
        known = [
            (trial.number + 1, volume)
            for trial in trials
            if (volume := finite(trial.hypervolume)) is not None
        ]
        if not known:
            continue
        known = [known[i] for i in _steps(known)]
        figure.add_trace(
            go.Scatter(
                x=[trial for trial, _ in known],
                y=[volume for _, volume in known],
                mode="lines",
                line={"shape": "hv", "width": 2.5, "color": SERIES[number % len(SERIES)]},
                name=plain(name, 60),
                showlegend=len(studies) > 1,
                hovertemplate="after %{x} trials: %{y:.3f}<extra></extra>",
            )
        )
    if not figure.data:
        return empty("too few feasible trials for a hypervolume")
    _mark_failed(figure, studies)
    styled(figure, height=height)
    figure.update_layout(margin={"l": 58, "r": 16, "t": 16, "b": 88})
    figure.update_xaxes(title_text="finished trials", rangemode="tozero")
    figure.update_yaxes(title_text="hypervolume", zeroline=False)
    return figure


def _steps(known: Sequence[tuple[int, float]]) -> list[int]:
    """Where the volume changes, and both ends: the rest of a staircase says nothing."""
    changes = [i for i in range(1, len(known)) if known[i][1] != known[i - 1][1]]
    return sorted({0, *changes[-MAX_POINTS:], len(known) - 1})


def _mark_failed(figure: go.Figure, studies: Sequence[tuple[str, Sequence[FinishedTrial]]]) -> None:
    """Crosses on the line, at the volume of that moment."""
    failed = [
        (trial.number + 1, volume)
        for _, trials in studies
        for trial in trials
        if trial.state == "failed" and (volume := finite(trial.hypervolume)) is not None
    ]
    count = sum(trial.state == "failed" for _, trials in studies for trial in trials)
    if not failed:
        return
    figure.add_trace(
        go.Scatter(
            x=[trial for trial, _ in failed[-MAX_POINTS:]],
            y=[volume for _, volume in failed[-MAX_POINTS:]],
            mode="markers",
            marker={
                "symbol": "x-thin",
                "size": 7,
                "line": {"width": 1.5, "color": VERMILLION},
            },
            name=f"failed trials ({count})",
            showlegend=True,
            hovertemplate="trial %{x} failed<extra></extra>",
        )
    )


def training_figure(rows: Sequence[Mapping[str, Any]], *, height: int = 340) -> go.Figure:
    """Losses and, where it was watched, the accuracy of the largest and smallest member.

    Args:
        rows: one mapping an epoch: epoch, teacher_loss, student_loss, largest_accuracy,
            smallest_accuracy; whatever is missing is left out.
        height: in pixels.
    """
    lines = (
        ("teacher_loss", "loss of the largest member", BLUE, "solid", 1),
        ("student_loss", "loss of the others, by distillation", ORANGE, "dash", 1),
        ("largest_accuracy", "accuracy of the largest member", BLUE, "solid", 2),
        ("smallest_accuracy", "accuracy of the smallest member", GREEN, "dot", 2),
    )
    curves = [
        (curve, name, colour, dash, column)
        for key, name, colour, dash, column in lines
        if (curve := _curve(rows, key))
    ]
    if not curves:
        return empty("no training was logged")
    both = {column for *_, column in curves} == {1, 2}
    figure = make_subplots(rows=1, cols=2 if both else 1, horizontal_spacing=0.12)
    for curve, name, colour, dash, column in curves:
        figure.add_trace(
            go.Scatter(
                x=[epoch for epoch, _ in curve],
                y=[value for _, value in curve],
                name=name,
                line={"color": colour, "dash": dash, "width": 2},
                mode="lines" if len(curve) > 1 else "markers",
                hovertemplate="epoch %{x}: %{y:.3f}<extra></extra>",
            ),
            row=1,
            col=column if both else 1,
        )
    styled(figure, height=height)
    figure.update_layout(margin={"l": 58, "r": 16, "t": 16, "b": 108})
    figure.update_xaxes(title_text="epoch")
    if both or curves[0][-1] == 1:
        figure.update_yaxes(title_text="loss", row=1, col=1)
    if both or curves[0][-1] == 2:
        figure.update_yaxes(title_text="accuracy", tickformat=".0%", row=1, col=2 if both else 1)
    return figure


def _curve(rows: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    made = []
    for place, row in enumerate(rows[-MAX_POINTS:]):
        epoch, value = finite(row.get("epoch")), finite(row.get(key))
        if value is not None:
            made.append((place if epoch is None else epoch, value))
    return made
