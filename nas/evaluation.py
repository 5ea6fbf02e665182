"""The evaluation store: what was ever measured, so that nothing is paid for twice.

One JSON object per line, only ever appended to. Several processes may share a file: a record is
one write under a file lock, and whatever a killed writer left half-done is cut off before.
"""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nas.appending import append, cut_to_last_newline
from search_spaces.errors import UserError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationKey:
    """What a value is the value of.

    Attributes:
        weights: hash of the weights it was taken with.
        architecture: the architecture's digest.
        metric: name of the metric, with its unit.
        split: which images, e.g. ``val``.
        profile: hardware profile, None for what no hardware changes.
    """

    weights: str
    architecture: str
    metric: str
    split: str
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A value and where it came from (seconds, date, code version …)."""

    value: float
    provenance: Mapping[str, Any] = field(default_factory=dict)


class EvaluationStore:
    """All evaluations of a file, in memory.

    Args:
        path: the JSONL file; made with the first record.

    Raises:
        UserError: the file cannot be read.

    Attributes:
        problems: one line per record that could not be read. They are skipped, not fatal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        self._known: dict[EvaluationKey, Evaluation] = {}
        self._offset = 0
        self._line = 0
        self.refresh()

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: EvaluationKey) -> bool:
        return key in self._known

    def get(self, key: EvaluationKey) -> Evaluation | None:
        """The first evaluation recorded under ``key``, None if there is none."""
        return self._known.get(key)

    def get_many(self, keys: Iterable[EvaluationKey]) -> dict[EvaluationKey, Evaluation]:
        """The known ones of ``keys``."""
        return {key: self._known[key] for key in keys if key in self._known}

    def items(self) -> Iterator[tuple[EvaluationKey, Evaluation]]:
        """Everything known, in the order of the file."""
        return iter(list(self._known.items()))

    def put(
        self, key: EvaluationKey, value: float, provenance: Mapping[str, Any] | None = None
    ) -> Evaluation:
        """Append a value; it survives the death of this process from here on.

        A key that is known keeps its first value: evaluations are reproducible, so a second one
        says nothing new.

        Returns:
            What is recorded under ``key``.

        Raises:
            ValueError: the value is not finite; a failed evaluation is no evaluation.
            UserError: the record cannot be written (disk full, no permission).
        """
        if not math.isfinite(value):
            raise ValueError(f"{key.metric}={value} is not finite and cannot be stored")
        if key in self._known:
            return self._known[key]
        made = Evaluation(float(value), dict(provenance or {}))
        record = {**asdict(key), "value": made.value, "provenance": dict(made.provenance)}
        line = json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n"
        try:
            with _locked(self.path) as descriptor:
                cut_to_last_newline(descriptor)
                append(descriptor, line.encode())
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written: {error.strerror}") from error
        self._known[key] = made
        return made

    def refresh(self) -> None:
        """Read what other processes have appended since."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read: {error.strerror}") from error
        whole = data[: data.rfind(b"\n") + 1]  # the rest is being written, or never will be
        self._offset += len(whole)
        for line in whole.splitlines():
            self._line += 1
            self._read(line)

    def _read(self, line: bytes) -> None:
        try:
            data = json.loads(line)
            value = float(data.pop("value"))
            provenance = dict(data.pop("provenance", {}))
            key = EvaluationKey(**data)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self._report(f"not a record ({error})")
            return
        if not math.isfinite(value):
            self._report(f"the value is {value}")
            return
        self._known.setdefault(key, Evaluation(value, provenance))

    def _report(self, what: str) -> None:
        problem = f"{self.path}:{self._line}: {what}; skipped"
        self.problems.append(problem)
        _log.warning(problem)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # released by the system, even after a kill
        yield descriptor
    finally:
        os.close(descriptor)
