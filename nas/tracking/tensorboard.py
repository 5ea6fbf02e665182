"""TensorBoard: curves, and the front as a table. Its pages cannot show Plotly's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.tracking.tracker import TRACKERS, Rows, Status, TrackedRun, Value, numbers

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class Options:
    """None."""


@TRACKERS.register
class TensorBoard:
    name = "tensorboard"
    label = "TensorBoard"
    summary = "curves and the front for TensorBoard (extra: tensorboard)"
    options = Options
    keeps = True

    def start(self, run: TrackedRun, options: Any) -> TensorBoardTracker:
        return TensorBoardTracker(run)


class TensorBoardTracker:
    """Event files in ``RUN/tracking/tensorboard/PART``."""

    def __init__(self, run: TrackedRun) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "not installed: pip install 'formfinder[tensorboard]'; "
                "the same command then fills it in"
            ) from error
        self._root = run.place / "tensorboard"
        self._part = run.part
        # What a killed process logged beyond the last whole step is taken back.
        self._writer = SummaryWriter(str(self._root / run.part), purge_step=run.first)

    def log(self, step: int, values: Mapping[str, Value]) -> None:
        for name, value in numbers(values).items():
            self._writer.add_scalar(name, value, step)

    def table(self, name: str, rows: Rows) -> None:
        head = [rows.columns, tuple("---" for _ in rows.columns)]
        lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in (*head, *rows.rows)]
        self._writer.add_text(name, "\n".join(lines))

    def figure(self, name: str, figure: Figure) -> None:
        """Nothing: see ``report.html``."""

    def artifact(self, name: str, kind: str, files: Sequence[Path]) -> None:
        """Where the files are."""
        text = "\n".join(f"- `{path}`" for path in files)
        self._writer.add_text(f"{kind}/{name}", text)

    def finish(self, status: Status) -> str | None:
        self._writer.close()
        return f"tensorboard --logdir {self._root}"


def _cell(value: Value) -> str:
    return "" if value is None else str(value).replace("|", "\\|")
