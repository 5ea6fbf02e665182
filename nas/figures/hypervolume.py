"""Hypervolume over evaluations on one scale: runs side by side, seeds as a band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from nas.figures.front import DASHES
from nas.figures.palette import SERIES
from nas.figures.style import empty, styled
from nas.figures.text import plain
from nas.pareto import Box, Direction, hypervolume, non_dominated

MAX_MOVES = 1500
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """The trials of one search that moved its front; nothing else changes the hypervolume.

    Attributes:
        name: of the run.
        group: what runs that differ in the seed alone have in common.
        colour: place of its colour.
        at: (K,) number of finished trials, ascending.
        values: (K, M) objectives.
        trials: finished trials in total.
    """

    name: str
    group: str
    colour: int
    at: Sequence[int]
    values: Sequence[Sequence[float]]
    trials: int


def volumes(moves: Moves, directions: Sequence[Direction], box: Box) -> tuple[Floats, Floats]:
    """(number of trials, share of ``box`` that is dominated) at every step of the staircase."""
    kept: list[Sequence[float]] = []
    made: list[float] = []
    step = max(1, len(moves.at) // MAX_MOVES)
    steps = [*range(0, len(moves.at), step)]
    ends = [*steps[1:], len(moves.at)]
    for start, end in zip(steps, ends, strict=True):
        joined = [*kept, *moves.values[start:end]]
        mask = non_dominated(joined, directions)
        kept = [value for value, stays in zip(joined, mask, strict=True) if stays]
        made.append(hypervolume(kept, directions, box))
    at = [moves.at[end - 1] for end in ends]
    if made and moves.trials > at[-1]:
        at, made = [*at, moves.trials], [*made, made[-1]]
    return np.array(at, dtype=np.float64), np.array(made)


def common_box(all_moves: Sequence[Moves], directions: Sequence[Direction]) -> Box | None:
    """One scale for all: around everything that ever moved a front."""
    return Box.around([v for moves in all_moves for v in moves.values], directions)


def seeds_figure(
    all_moves: Sequence[Moves], directions: Sequence[Direction], *, height: int = 380
) -> go.Figure:
    """A staircase a run; where runs differ in the seed alone, their median and their range.

    Args:
        all_moves: of the runs, with the same objectives.
        directions: of the objectives.
        height: in pixels.
    """
    known = [moves for moves in all_moves if len(moves.at)]
    box = common_box(known, directions)
    if box is None:
        return empty("no feasible trial yet", height=height)
    figure = go.Figure()
    ends: list[float] = []
    groups: dict[str, list[Moves]] = {}
    for moves in known:
        groups.setdefault(moves.group, []).append(moves)
    for members in groups.values():
        lines = [volumes(moves, directions, box) for moves in members]
        if len(members) > 1:
            figure.add_traces(_band(members, lines))
        ends += [end for line in lines for end in _interesting(*line)]
        for moves, line in zip(members, lines, strict=True):
            figure.add_trace(_line(moves, line, thin=len(members) > 1))
    styled(figure, height=height, uirevision="hypervolume")
    figure.update_layout(margin={"l": 58, "r": 16, "t": 16, "b": 88})
    figure.update_xaxes(title_text="finished trials", rangemode="tozero")
    low, high = min(ends), max(ends)
    pad = 0.08 * (high - low) or 0.05
    span = [low - pad, high + pad]
    figure.update_yaxes(title_text="hypervolume, one scale for all", range=span, zeroline=False)
    return figure


def _interesting(at: Floats, volume: Floats) -> tuple[float, float]:
    """The volume after a tenth of the trials, and the last: the first steps hide the rest."""
    early = np.searchsorted(at, at[-1] / 10, side="right") - 1
    return float(volume[max(early, 0)]), float(volume[-1])


def _line(moves: Moves, line: tuple[Floats, Floats], *, thin: bool) -> go.Scatter:
    return go.Scatter(
        x=line[0],
        y=line[1],
        mode="lines",
        line={
            "shape": "hv",
            "width": 1.2 if thin else 2.5,
            "color": SERIES[moves.colour % len(SERIES)],
            "dash": DASHES[moves.colour % len(DASHES)],
        },
        name=plain(moves.name, 60),
        showlegend=True,
        hovertemplate=f"{plain(moves.name, 60)}, after %{{x}} trials: %{{y:.4f}}<extra></extra>",
    )


def _band(members: Sequence[Moves], lines: Sequence[tuple[Floats, Floats]]) -> list[go.Scatter]:
    """Median and range, as far as every seed has come."""
    end = min(line[0][-1] for line in lines)
    start = max(line[0][0] for line in lines)
    at = np.unique(np.concatenate([line[0] for line in lines]))
    at = at[(at >= start) & (at <= end)]
    if not len(at):
        return []
    values_SK = np.stack([y[np.searchsorted(x, at, side="right") - 1] for x, y in lines])
    colour = SERIES[members[0].colour % len(SERIES)]
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    edge = {"mode": "lines", "line": {"shape": "hv", "width": 0}, "hoverinfo": "skip"}
    name = plain(members[0].group, 80)
    return [
        go.Scatter(x=at, y=values_SK.max(axis=0), showlegend=False, **edge),
        go.Scatter(
            x=at,
            y=values_SK.min(axis=0),
            fill="tonexty",
            fillcolor=f"rgba({red},{green},{blue},0.16)",
            name=f"range of {len(members)} seeds",
            **edge,
        ),
        go.Scatter(
            x=at,
            y=np.median(values_SK, axis=0),
            mode="lines",
            line={"shape": "hv", "width": 3, "color": colour},
            name=f"median of {len(members)} seeds: {name}",
            hovertemplate="median after %{x} trials: %{y:.4f}<extra></extra>",
        ),
    ]
