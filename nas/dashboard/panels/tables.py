"""Everything that is drawn, as tables: the members of the fronts, and the numbers of any figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from dash import html

from nas.dashboard.panels.markup import note, table
from nas.dashboard.reading.run import Snapshot
from nas.figures.axes import axis_of
from nas.figures.palette import op_code
from nas.figures.text import cleaned, finite, significant

MAX_ROWS = 300
MAX_CSV_ROWS = 100_000


def members_table(runs: Sequence[Snapshot], metrics: Sequence[str], chosen: str) -> Any:
    """All members, each with a button that chooses it."""
    head = ["member", "run", "letters"]
    objectives = [o for run in runs for o in run.front.objectives]
    axes = [axis_of(name, objectives) for name in metrics]
    for axis in axes:
        head += [axis.title.replace("&lt;", "<"), "interval"] if axis.share else [axis.title]
    head += ["predicted latency", "marks"]
    rows = []
    pairs = [(run, member) for run in runs for member in run.front.members]
    for run, member in pairs[:MAX_ROWS]:
        place = f"{run.key}|{member.digest}"
        row: list[Any] = [
            html.Button(
                member.digest[:8],
                id={"type": "choose", "place": place},
                className="link chosen" if place == chosen else "link",
                title="show this architecture",
            ),
            run.key,
            " ".join(op_code(block.attention.op) for _, block in member.architecture.blocks())[:60],
        ]
        for axis in axes:
            metric = member.metrics.get(axis.name)
            row.append("–" if metric is None else axis.show(metric.value))
            if axis.share:
                row.append("" if metric is None else axis.show_range(metric.low, metric.high))
        latency = member.metrics.get("latency_ms")
        believed = latency.predicted if latency is not None else None
        value = believed.get("value") if isinstance(believed, Mapping) else None
        row.append(axis_of("latency_ms", objectives).show(value))
        row.append(", ".join(_marks(run, member)))
        rows.append(row)
    parts = [table(head, rows, "members of the fronts")]
    if len(pairs) > MAX_ROWS:
        parts.append(note(f"The first {MAX_ROWS} of {len(pairs):,}."))
    return html.Div(parts)


def _marks(run: Snapshot, member: Any) -> list[str]:
    marks = [
        (member.digest == run.front.winner, "winner"),
        (member.tied is True, "tied"),
        (member.dominated is True, "dominated"),
        (not run.verified, "not verified"),
    ]
    return [mark for holds, mark in marks if holds]


Row = tuple[str, str, str, str]


def drawn_rows(figure: go.Figure, limit: int) -> list[Row]:
    """(trace, x, y, text) of every mark of a figure."""
    rows: list[Row] = []
    for trace in figure.data:
        data = trace.to_plotly_json()
        xs, ys = data.get("x"), data.get("y")
        if ys is None and data.get("median") is not None:
            ys = data["median"]
        if xs is None or ys is None:
            continue
        texts = data.get("hovertext")
        name = cleaned(data.get("name") or "", 80)
        for place, (x, y) in enumerate(zip(list(xs), list(ys), strict=False)):
            if x is None or y is None:
                continue
            if len(rows) >= limit:
                return rows
            text = texts[place] if isinstance(texts, list | tuple) and place < len(texts) else ""
            rows.append((name, _number(x), _number(y), _plain(text)))
    return rows


def _number(value: Any) -> str:
    number = finite(value.item() if hasattr(value, "item") else value)
    return cleaned(value, 60) if number is None else significant(number)


def _plain(text: Any) -> str:
    """A hover text without the few tags that figures put into it."""
    import html as escaping

    words = str(text)
    for tag in ("<b>", "</b>", "<i>", "</i>"):
        words = words.replace(tag, "")
    return cleaned(escaping.unescape(words.replace("<br>", "; ")), 200)


def drawn_table(figure: go.Figure, x: str, y: str) -> Any:
    """A figure's marks as a table."""
    rows = drawn_rows(figure, MAX_ROWS + 1)
    parts = [table(["what", x, y, "more"], rows[:MAX_ROWS], "the figure's numbers")]
    if len(rows) > MAX_ROWS:
        parts.append(note(f"The first {MAX_ROWS} are shown; the CSV file has all."))
    return html.Div(parts)


def as_csv(figure: go.Figure, x: str, y: str) -> str:
    """A figure's marks as CSV. Cells that a spreadsheet would run as formulas are quoted."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["what", x, y, "more"])
    for row in drawn_rows(figure, MAX_CSV_ROWS):
        writer.writerow([f"'{cell}" if cell[:1] in "=+@\t" else cell for cell in row])
    return buffer.getvalue()
