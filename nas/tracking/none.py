"""Nothing but files: ``training.jsonl``, ``search.csv`` and ``front.csv`` in the run's folder.

They are written whichever tracker is chosen. ``training.jsonl`` is the training's own record.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from nas.tracking.tracker import TRACKERS, Rows, Status, TrackedRun, Value

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class Options:
    """None."""


@TRACKERS.register
class Files:
    name = "none"
    label = "files only"
    summary = "search.csv, front.csv and training.jsonl in the run's folder, as always"
    options = Options
    keeps = False

    def start(self, run: TrackedRun, options: Any) -> FileTracker:
        return FileTracker(run)


class FileTracker:
    """Writes a search's trials and its front as CSV; a training has its own file.

    ``search.csv`` is written anew at every start: the study's journal has all trials.
    """

    def __init__(self, run: TrackedRun) -> None:
        self._run = run
        self._path = run.folder / "search.csv"
        self._columns: list[str] = []
        self._file: TextIO | None = None

    def log(self, step: int, values: Mapping[str, Value]) -> None:
        """Append a trial's line, whole."""
        if self._run.kind != "search":
            return
        row = {self._run.step: step, **values}
        fresh = [name for name in row if name not in self._columns]
        if fresh:
            self._widen(fresh)
        assert self._file is not None
        self._file.write(_line([_cell(row.get(name)) for name in self._columns]))
        self._file.flush()

    def table(self, name: str, rows: Rows) -> None:
        """``NAME.csv``, whole or as it was."""
        lines = [rows.columns, *(tuple(map(_cell, row)) for row in rows.rows)]
        _replace(self._run.folder / f"{name}.csv", "".join(map(_line, lines)))

    def figure(self, name: str, figure: Figure) -> None:
        """Nothing: ``report.html`` shows them."""

    def artifact(self, name: str, kind: str, files: Sequence[Path]) -> None:
        """Nothing: they lie in the folder already."""

    def finish(self, status: Status) -> str | None:
        if self._file is not None:
            self._file.close()
        return None

    def _widen(self, fresh: list[str]) -> None:
        """Begin the file, or begin it again with more columns."""
        old: list[list[str]] = []
        if self._file is not None:
            self._file.close()
            with self._path.open(newline="", encoding="utf-8") as file:
                old = list(csv.reader(file))[1:]
        self._columns += fresh
        _replace(self._path, _line(self._columns) + "".join(map(_line, old)))
        self._file = self._path.open("a", newline="", encoding="utf-8")


def _cell(value: Value) -> Value:
    # A line is a trial, also to tools that know no quotes.
    return " ".join(value.split()) if isinstance(value, str) else value


def _line(cells: Sequence[Value]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
