"""Everything that is drawn, as tables: the members of the fronts, and the numbers of any figure."""

from __future__ import annotations

import csv
import html as escaping
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from dash import html

from nas.dashboard.panels.markup import note, table
from nas.dashboard.reading.run import Snapshot
from nas.figures.axes import axis_of
from nas.figures.palette import op_code
from nas.figures.text import cleaned, finite, significant
from nas.front import Member

MAX_ROWS = 300
MAX_CSV_ROWS = 100_000
Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Titles of the columns, and rows of as many texts."""


def members_table(runs: Sequence[Snapshot], metrics: Sequence[str]) -> Any:
    """All members, each with a button that chooses it."""
    head = ["member", "run", "letters"]
    objectives = [o for run in runs for o in run.front.objectives]
    axes = [axis_of(name, objectives) for name in metrics]
    for axis in axes:
        title = escaping.unescape(axis.title)
        head += [title, "interval"] if axis.share else [title]
    head += ["predicted latency", "marks"]
    rows = []
    pairs = [(run, member) for run in runs for member in run.front.members]
    for run, member in pairs[:MAX_ROWS]:
        place = f"{run.key}|{member.digest}"
        row: list[Any] = [
            html.Button(
                member.digest[:8],
                id={"type": "choose", "place": place},
                className="link",
                title="show this architecture",
            ),
            run.key,
            _letters(member),
        ]
        for axis in axes:
            metric = member.metrics.get(axis.name)
            row.append("–" if metric is None else axis.show(metric.value))
            if axis.share:
                row.append("" if metric is None else axis.show_range(metric.low, metric.high))
        row.append(axis_of("latency_ms", objectives).show(_believed(member, "latency_ms")))
        row.append(", ".join(_marks(run, member)))
        rows.append(row)
    parts = [table(head, rows, "members of the fronts")]
    if len(pairs) > MAX_ROWS:
        parts.append(note(f"The first {MAX_ROWS} of {len(pairs):,}."))
    return html.Div(parts)


def members_numbers(runs: Sequence[Snapshot], metrics: Sequence[str]) -> Table:
    """All members with all digits, for a file: values, intervals and predictions by metric."""
    head = ["run", "member", "letters", "marks"]
    for name in metrics:
        head += [name, f"{name}_low", f"{name}_high", f"{name}_predicted", f"{name}_kind"]
    rows = []
    for run in runs:
        for member in run.front.members:
            row = [run.key, member.digest, _letters(member), ", ".join(_marks(run, member))]
            for name in metrics:
                metric = member.metrics.get(name)
                known = (None,) * 3 if metric is None else (metric.value, metric.low, metric.high)
                row += [_digits(value) for value in (*known, _believed(member, name))]
                row.append("" if metric is None else cleaned(metric.kind, 40))
            rows.append(row)
    return head, rows


def _digits(value: object) -> str:
    number = finite(value)
    return "" if number is None else repr(number)


def _letters(member: Member) -> str:
    return " ".join(op_code(block.attention.op) for _, block in member.architecture.blocks())[:60]


def _believed(member: Member, name: str) -> object:
    metric = member.metrics.get(name)
    believed = None if metric is None else metric.predicted
    return believed.get("value") if isinstance(believed, Mapping) else None


def _marks(run: Snapshot, member: Any) -> list[str]:
    marks = [
        (member.digest == run.front.winner, "winner"),
        (member.tied is True, "tied"),
        (member.dominated is True, "dominated"),
        (not run.verified, "not verified"),
    ]
    return [mark for holds, mark in marks if holds]


def drawn_rows(figure: go.Figure, limit: int) -> list[tuple[str, str, str, str]]:
    """(trace, x, y, text) of every mark of a figure."""
    rows: list[tuple[str, str, str, str]] = []
    for trace in figure.data:
        data = trace.to_plotly_json()
        xs, ys = data.get("x"), data.get("y")
        if ys is None and data.get("median") is not None:
            ys = data["median"]
        if xs is None or ys is None:
            continue
        name = cleaned(data.get("name") or "", 80)
        for place, (x, y) in enumerate(zip(list(xs), list(ys), strict=False)):
            if x is None or y is None:
                continue
            if len(rows) >= limit:
                return rows
            rows.append((name, _number(x), _number(y), _more(data, place)))
    return rows


def _number(value: Any) -> str:
    number = finite(value.item() if hasattr(value, "item") else value)
    return cleaned(value, 60) if number is None else significant(number)


def _more(data: Mapping[str, Any], place: int) -> str:
    """What else is known of one mark: its hover text, its number, its spread."""
    texts = data.get("hovertext")
    if isinstance(texts, list | tuple) and place < len(texts):
        return _plain(texts[place])
    trials = data.get("customdata")
    if isinstance(trials, np.ndarray) and trials.dtype.kind == "i":
        return f"trial {trials[place][1]}"
    if data.get("q1") is not None:
        inner, outer = (
            "–".join(_number(data[key][place]) for key in keys)
            for keys in (("q1", "q3"), ("lowerfence", "upperfence"))
        )
        return f"quartiles {inner}; 5 to 95 %: {outer}"
    return ""


def _plain(text: Any) -> str:
    """A hover text without the few tags that figures put into it."""
    words = str(text)
    for tag in ("<b>", "</b>", "<i>", "</i>"):
        words = words.replace(tag, "")
    return cleaned(escaping.unescape(words.replace("<br>", "; ")), 200)


def as_table(known: Table) -> Any:
    """Rows as a table of the page."""
    head, rows = known
    parts = [table(head, rows[:MAX_ROWS], "the figure's numbers")]
    if len(rows) > MAX_ROWS:
        parts.append(note(f"The first {MAX_ROWS} are shown; the CSV file has all."))
    return html.Div(parts)


def as_csv(known: Table) -> str:
    """Rows as CSV. Cells that a spreadsheet would run as formulas are quoted."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(known[0])
    for row in known[1][:MAX_CSV_ROWS]:
        writer.writerow([f"'{cell}" if cell[:1] in "=+@\t" and cell else cell for cell in row])
    return buffer.getvalue()
