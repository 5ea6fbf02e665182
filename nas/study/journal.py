"""The study's file: Optuna's journal format, one record per finished trial.

``optuna.storages.JournalStorage`` reads it. Only one process may write: it holds the file locked
for as long as it lives, by a lock that the system releases even after a kill.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from nas.appending import append, cut_to_last_newline
from search_spaces.errors import UserError

CREATE_STUDY, STUDY_USER_ATTR, STUDY_SYSTEM_ATTR, CREATE_TRIAL = 0, 2, 3, 4
HEADER_LENGTH = 3  # records of ``header``

Record = dict[str, Any]


class Journal:
    """An open journal.

    Args:
        path: made if it does not exist.

    Raises:
        UserError: another process writes it, or it is damaged or not accessible.

    Attributes:
        records: everything in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._worker = f"formfinder-{os.getpid()}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._file = os.open(path, flags, 0o644)
        except OSError as error:
            raise UserError(f"{path}: cannot be opened: {error.strerror}") from error
        try:
            self._lock()
            # A half-written last line loads, but appending to it makes the file unreadable.
            cut_to_last_newline(self._file)
            self.records: list[Record] = list(read_records(path))
        except BaseException:
            os.close(self._file)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{self.path}: another process is running this study; wait for it or stop it"
            ) from error

    def append(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Append ``records`` in one write: they survive the death of this process.

        Raises:
            UserError: they cannot be written; the file is as before.
        """
        made = [{"worker_id": self._worker, **record} for record in records]
        lines = "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in made)
        try:
            append(self._file, lines.encode())
        except OSError as error:
            raise UserError(
                f"{self.path}: cannot be written: {error.strerror}; nothing is lost: "
                "mend that and start the same command again"
            ) from error
        self.records.extend(made)

    def sync(self) -> None:
        """Make what was appended survive the death of the machine too."""
        os.fsync(self._file)

    def close(self) -> None:
        """Release the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def read_records(path: Path) -> Iterator[Record]:
    """The whole records of a journal; a last line that is being written is left out.

    Raises:
        UserError: there is no such file, or a line is no record.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    for number, line in enumerate(data[: data.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            record = json.loads(line)
            record["op_code"]
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{path}:{number}: not a study record; the file is damaged or no journal"
            ) from error
        yield record


def header(
    name: str, directions: Sequence[str], metrics: Sequence[str], meta: Mapping[str, Any]
) -> list[Record]:
    """The records a study begins with. Its directions are ``min`` and ``max``."""
    return [
        {
            "op_code": CREATE_STUDY,
            "study_name": name,
            "directions": [2 if direction == "max" else 1 for direction in directions],
        },
        {"op_code": STUDY_USER_ATTR, "study_id": 0, "user_attr": {"formfinder": dict(meta)}},
        {
            "op_code": STUDY_SYSTEM_ATTR,
            "study_id": 0,
            # Optuna's own key for the names its plots show.
            "system_attr": {"study:metric_names": list(metrics)},
        },
    ]


def meta_of(records: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What ``header`` was given as ``meta``, None where the records do not say."""
    for record in records:
        if record["op_code"] == STUDY_USER_ATTR and "formfinder" in record["user_attr"]:
            return dict(record["user_attr"]["formfinder"])
    return None
