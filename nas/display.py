"""What a run says on the terminal: steps, progress bars, tables. One place, 80 columns."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from nas.run_folder import read_json, write_json


class Display:
    """The terminal of one command.

    Args:
        progress: draw progress bars (only ever on a terminal that can move its cursor).
        console: where to; standard output by default.
    """

    def __init__(self, progress: bool = True, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._progress = progress and self.console.is_terminal

    @property
    def draws(self) -> bool:
        """Whether progress bars are drawn."""
        return self._progress

    def step(self, title: str) -> None:
        """Begin a step."""
        self.console.print(f"\n[bold]{title}[/bold]")

    def line(self, text: str) -> None:
        """One line of plain text: markup in names from files means nothing."""
        self.console.print(f"  {text}", markup=False)

    def prose(self, text: str) -> None:
        """A sentence or two, broken between words at the terminal's width."""
        width = max(self.console.width - 2, 40)
        for part in textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False):
            self.line(part)

    @contextmanager
    def bar(self, what: str, total: int, unit: str = "", done: int = 0) -> Iterator[Bar]:
        """A progress bar with a changing note, elapsed time and time left.

        Args:
            what: in front of it.
            total: when it is full.
            unit: of ``total``.
            done: what earlier starts did: shown, but no measure of this one's speed.
        """
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(
            *columns, console=self.console, disable=not self._progress, transient=True
        ) as progress:
            yield Bar(progress, progress.add_task(what, total=total, completed=done, note=""))

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A small table; numbers to the right."""
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2))
        for index, column in enumerate(columns):
            table.add_column(column, justify="left" if index == 0 else "right")
        for row in rows:
            table.add_row(*row)
        self.console.print(Padding(table, (0, 0, 0, 2)))


class Bar:
    """One running progress bar."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def at(self, done: int, note: str = "", total: int | None = None) -> None:
        """So much is done; ``total`` corrects what was thought to be all."""
        self._progress.update(self._task, completed=done, note=note, total=total)


@contextmanager
def timed(path: Path, step: str) -> Iterator[None]:
    """Add the wall time of a step to a run's ``seconds.json``, also when it is broken off."""
    started = time.monotonic()
    try:
        yield
    finally:
        seconds = read_json(path) if path.exists() else {}
        seconds[step] = round(seconds.get(step, 0.0) + time.monotonic() - started, 2)
        write_json(path, seconds)


def duration(seconds: float) -> str:
    """``45 s``, ``3.2 min``, ``1.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def free_mb(folder: Path) -> float:
    """Free space of the disk that holds a folder (or its nearest parent), in 10^6 bytes."""
    while not folder.exists():
        folder = folder.parent
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize / 1e6
