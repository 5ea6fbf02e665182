"""The tab on predictors: calibration, measurement noise, rank fidelity."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from dash import html

from nas.dashboard.commands import shown
from nas.dashboard.panels.markup import command, graph, guarded, heading, note, table
from nas.dashboard.reading.files import mapping, rows_of
from nas.dashboard.reading.run import Snapshot
from nas.figures.calibration import Calibration, calibration_figure
from nas.figures.noise import fidelity_figure, noise_figure
from nas.figures.text import finite, percent
from nas.report.calibrations import agreement_rows, latency_calibration, memory_calibration
from nas.report.headline import profile_words

MAX_RUNS = 6


def predictors_tab(runs: Sequence[Snapshot]) -> list[Any]:
    """One section a run."""
    parts: list[Any] = []
    for number, run in enumerate(runs[:MAX_RUNS]):
        parts += [html.H3(run.key), note(profile_words(mapping(run.front.profile)))]
        parts.append(html.Div(_figures(run, number), className="pair"))
    if len(runs) > MAX_RUNS:
        parts.append(note(f"The first {MAX_RUNS} of {len(runs)} runs are shown."))
    return parts or [note("No run is chosen.")]


def _figures(run: Snapshot, number: int) -> list[Any]:
    made: list[Any] = []
    for name, title, build in (
        ("latency", "Latency, predicted and measured", latency_calibration),
        ("memory", "Peak memory, predicted and measured", memory_calibration),
    ):
        made.append(_calibration(run, f"{name}-{number}", title, build))
    if not run.measurements:
        made.append(html.Div([heading("Measurement noise"), note("Nothing was measured yet.")]))
        return [*made, _fidelity(run, number)]
    noise = guarded(lambda: noise_figure(run.measurements))
    made.append(
        html.Div(
            [
                heading("Measurement noise", f"{len(run.measurements)} networks timed."),
                graph(f"noise-{number}", noise, label="measurement noise"),
            ]
        )
    )
    return [*made, _fidelity(run, number)]


def _fidelity(run: Snapshot, number: int) -> Any:
    rows = [mapping(row) for row in rows_of(run.proxies.get("table"))]
    if not rows:
        line = f"formfinder proxies {shlex.quote(shown(run.folder.path))}"
        told = "It was not measured; this does:"
        return html.Div([heading("Rank fidelity"), note(told), command(line)])
    words = "Scores of untrained networks against inherited accuracy, with 95 % intervals."
    figure = guarded(lambda: fidelity_figure(rows))
    drawn = graph(f"fidelity-{number}", figure, label="rank fidelity of proxies")
    return html.Div([heading("Rank fidelity", words), drawn])


def _calibration(run: Snapshot, name: str, title: str, build: Any) -> Any:
    try:
        known: Calibration = build(run.content)
        if not known.held_out and not known.front:
            return html.Div([heading(title), note("No network was both predicted and measured.")])
        figure = calibration_figure(known, state=False, height=400)
        rows = [_agreement(label, agreement) for label, agreement in agreement_rows(known)]
    except Exception:  # a damaged file
        return html.Div([heading(title), note("It cannot be drawn from what the files hold.")])
    head = ["", "MAPE", "Spearman", "Kendall τ", "n"]
    parts = [heading(title), graph(f"calibration-{name}", figure, label=title)]
    return html.Div([*parts, table(head, rows, "agreement")] if rows else parts)


def _agreement(label: str, agreement: Any) -> list[str]:
    mape, count = finite(agreement.get("mape")), finite(agreement.get("n"))
    ranks = [finite(agreement.get(key)) for key in ("spearman", "kendall_tau")]
    return [
        label,
        "–" if mape is None else percent(mape),
        *("–" if rank is None else f"{rank:.3f}" for rank in ranks),
        "–" if count is None else f"{count:,.0f}",
    ]
