"""The status strip: how far every search is."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dash import html

from nas.dashboard.reading.files import mapping
from nas.dashboard.reading.liveness import age_s, being_written
from nas.dashboard.reading.run import Snapshot
from nas.figures.palette import SERIES
from nas.figures.text import finite

FRESH_S = 30.0
TRAINING_FRESH_S = 180.0
RATE_OVER = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Numbers of the strip.

    Attributes:
        words: what the run is doing.
        live: whether its search is going on.
        done, failed: finished trials, and those of them that failed.
        running: trials of the open batch, at most.
        budget: trials in total, None where it is not known.
        per_minute: finished trials a minute, None where unknown.
        left_s: seconds to the budget, None where unknown.
    """

    words: str
    live: bool
    done: int
    failed: int
    running: int
    budget: int | None
    per_minute: float | None
    left_s: float | None


def status_of(run: Snapshot) -> Status:
    """How far a search is, by its files alone."""
    done = len(run.log.trials)
    search = mapping(run.config.get("search"))
    asked = finite(search.get("trials"))
    budget = None if asked is None else max(int(asked), done)
    live = _live(run)
    rate = evaluations_per_minute(run.log.ended, time.time() if live else None)
    rest = None if budget is None else budget - done
    return Status(
        words="verifying" if live and rest == 0 and not run.verified else _words(run, live),
        live=live,
        done=done,
        failed=run.log.failed,
        running=_running(run, live, rest),
        budget=budget,
        per_minute=rate,
        left_s=60 * rest / rate if live and rest and rate else None,
    )


def _live(run: Snapshot) -> bool:
    age = age_s(run.folder.study)
    if age is None:
        return False
    return being_written(run.folder.study) or (age < FRESH_S and not run.verified)


def _running(run: Snapshot, live: bool, rest: int | None) -> int:
    if not live or rest == 0:
        return 0
    batch = finite(run.log.identity.get("batch_size"))
    size = int(batch) if batch and 0 < batch < 1e6 else 1
    open_ones = size - len(run.log.trials) % size
    return open_ones if rest is None else min(open_ones, rest)


def _words(run: Snapshot, live: bool) -> str:
    if live:
        return "searching"
    if run.verified:
        return "verified"
    if run.log.trials:
        return "stopped" if (age_s(run.folder.study) or 0) > FRESH_S else "search ended"
    training = run.content.training
    if training:
        epochs = finite(mapping(run.config.get("training")).get("epochs"))
        epoch = finite(training[-1].get("epoch")) or len(training)
        of = f" of {epochs:.0f}" if epochs else ""
        fresh = (age_s(run.folder.training_log) or 0) < TRAINING_FRESH_S
        return f"{'training' if fresh else 'trained'}: epoch {epoch:.0f}{of}"
    return "nothing found yet"


def evaluations_per_minute(ended: Sequence[float], now: float | None = None) -> float | None:
    """Over the last ``RATE_OVER`` trials; while a search goes on, up to ``now``."""
    known = [moment for moment in ended[-RATE_OVER:] if moment > 0]
    if len(known) < 2:
        return None
    last = max(known) if now is None else max(*known, now)
    # Batches end together: an interval more than moments would be counted otherwise.
    span = last - min(known)
    return 60 * (len(known) - 1) / span if span > 0.5 else None


def strip(runs: Mapping[str, Snapshot], shown: Sequence[str]) -> Any:
    """One row a run."""
    rows = []
    for place, key in enumerate(shown):
        run = runs.get(key)
        if run is None:
            continue
        status = status_of(run)
        of = f" of {status.budget:,}" if status.budget else ""
        cells = [
            ("done", f"{status.done:,}{of}"),
            ("running", f"{status.running:,}"),
            ("failed", f"{status.failed:,}"),
            ("per minute", _rate(status.per_minute)),
            ("time left", _time(status.left_s) if status.live else "–"),
        ]
        facts = [
            html.Span([html.Span(f"{label} ", className="label"), html.B(value)], className="fact")
            for label, value in cells
        ]
        head = [
            html.Span("●", style={"color": SERIES[place % len(SERIES)]}, className="dot"),
            html.Span(key, className="run-name", title=key),
            html.Span(status.words, className="state live" if status.live else "state"),
        ]
        notes = [html.Span(f"⚠ {line}", className="warn", title=line) for line in run.notes[:3]]
        rows.append(html.Div([*head, *facts, *notes], className="status-row"))
    return rows or [html.Div("no run yet; this page looks for one again and again")]


def _rate(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def _time(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds) or seconds > 3e7:
        return "–"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
