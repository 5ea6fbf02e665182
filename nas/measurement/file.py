"""A file of measurements: JSON lines, only ever appended to, all of one profile."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.measurement.records import Failure, Measurement
from search_spaces.errors import UserError, writing


@dataclass(frozen=True, slots=True)
class MeasurementFile:
    """The rows of one profile. Append-only; a line that was cut off by a kill is dropped.

    Attributes:
        path: the JSONL file; it need not exist yet.
        profile: the key every row must carry.
    """

    path: Path
    profile: str

    def rows(self) -> list[dict[str, Any]]:
        """All complete rows.

        Raises:
            UserError: a row is no JSON or belongs to another profile.
        """
        if not self.path.exists():
            return []
        rows = []
        complete, _, _ = self.path.read_bytes().rpartition(b"\n")
        for number, line in enumerate(complete.splitlines(), start=1):
            try:
                row = json.loads(line)
                found = row["profile"]
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(f"{self.path}:{number}: no measurement row") from error
            if found != self.profile:
                raise UserError(
                    f"{self.path}:{number}: measured on profile {found}, wanted is "
                    f"{self.profile}; use another file"
                )
            rows.append(row)
        return rows

    def measurements(self) -> list[Measurement]:
        """The measured architectures, in the order of the file."""
        return [Measurement.from_dict(row) for row in self.rows() if row["kind"] == "measurement"]

    def failures(self) -> list[Failure]:
        """The architectures the runtime could not run."""
        return [Failure.from_dict(row) for row in self.rows() if row["kind"] == "failure"]

    def append(self, rows: Iterable[Measurement | Failure]) -> None:
        """Add rows, after cutting the file back to its last complete line.

        Raises:
            UserError: they cannot be written.
        """
        text = "".join(json.dumps(row.to_dict(), sort_keys=True) + "\n" for row in rows)
        with writing(self.path):
            self._append(text)

    def _append(self, text: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            file.seek(0, os.SEEK_END)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
