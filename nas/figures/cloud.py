"""Thousands of trials as one trace: columns of numbers, no text a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from nas.figures.axes import Axis
from nas.figures.palette import FAINT
from nas.figures.text import plain

if TYPE_CHECKING:
    from nas.study.trials import FinishedTrial

GONE = 4
SVG_POINTS = 1500
"""Up to so many are drawn as vectors, which need no graphics card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialColumns:
    """The trials of a study, one entry each.

    Attributes:
        place: of the run on the page, so that a click says whose trial it is.
        metrics: by name, (N,), NaN where unknown; estimates where there is nothing better.
        kind: (N,) 0 feasible, 1 breaks a limit, 2 only looked at in part, 3 failed; ``GONE`` is
            not drawn either.
    """

    place: int
    metrics: Mapping[str, NDArray[np.float64]]
    kind: NDArray[np.int8]

    def joined(self, later: TrialColumns) -> TrialColumns:
        """These trials and ``later`` ones."""
        before, behind = np.full(len(self.kind), np.nan), np.full(len(later.kind), np.nan)
        return TrialColumns(
            place=self.place,
            metrics={
                name: np.concatenate(
                    [self.metrics.get(name, before), later.metrics.get(name, behind)]
                )
                for name in dict.fromkeys([*self.metrics, *later.metrics])
            },
            kind=np.concatenate([self.kind, later.kind]),
        )


def columns_of(trials: Sequence[FinishedTrial], place: int = 0) -> TrialColumns:
    """Trials as columns."""
    names = dict.fromkeys(name for trial in trials for name in trial.metrics)
    names |= dict.fromkeys(name for trial in trials for name in trial.partial)
    nan = float("nan")
    metrics = {
        name: np.array([t.metrics.get(name, t.partial.get(name, nan)) for t in trials])
        for name in names
    }
    return TrialColumns(
        place=place,
        metrics=metrics,
        kind=np.array([_kind(trial) for trial in trials], dtype=np.int8),
    )


def _kind(trial: FinishedTrial) -> int:
    if trial.state != "complete":
        return 3
    if not trial.feasible:
        return 1
    return 2 if trial.images else 0


def cloud_traces(
    columns: TrialColumns, name: str, x: Axis, y: Axis, alone: bool, tint: str
) -> list[Any]:
    """The trials that have both values, faint; a click carries (place of the run, trial)."""
    if x.name not in columns.metrics or y.name not in columns.metrics:
        return []
    at_x, at_y = columns.metrics[x.name], columns.metrics[y.name]
    there = np.isfinite(at_x) & np.isfinite(at_y) & (columns.kind < 3)
    for axis, values in ((x, at_x), (y, at_y)):
        if axis.log:
            there &= np.nan_to_num(values) > 0
    made = []
    for kind, symbol, label in (
        (0, "circle", "trials (search estimate)"),
        (1, "x-thin", "trials that break a limit"),
        (2, "circle-open", "trials looked at only in part"),
    ):
        chosen = np.flatnonzero(there & (columns.kind == kind))
        if not len(chosen):
            continue
        colour = FAINT if alone else tint
        trace = go.Scatter if int(there.sum()) <= SVG_POINTS else go.Scattergl
        made.append(
            trace(
                x=at_x[chosen].astype(np.float32),  # half the bytes, and more than a screen shows
                y=at_y[chosen].astype(np.float32),
                customdata=np.stack([np.full(len(chosen), columns.place), chosen], axis=1).astype(
                    np.int32
                ),
                mode="markers",
                marker={
                    "symbol": symbol,
                    "size": 5,
                    "color": colour,
                    "opacity": 0.6 if alone else 0.22,
                    "line": {"width": 0 if kind == 0 else 1, "color": colour},
                },
                name=label,
                legendgroup=label,
                showlegend=alone,
                hovertemplate=(
                    f"{plain(name, 60)}, trial %{{customdata[1]}}<br>{_value(x, 'x')}"
                    f"<br>{_value(y, 'y')}<extra></extra>"
                ),
            )
        )
    return made


def _value(axis: Axis, letter: str) -> str:
    form = ".2%" if axis.share else ".4~s" if axis.name in ("params", "macs") else ".4~r"
    unit = f" {plain(axis.unit, 20)}" if axis.unit else ""
    return f"{plain(axis.label, 60)}: %{{{letter}:{form}}}{unit}"
