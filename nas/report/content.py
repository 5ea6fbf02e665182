"""What a run folder holds for the report. Only the front is needed; the rest may be missing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from nas.front import Front
from nas.run_folder import RunFolder, read_json
from nas.study.reading import StudyRecord, read_study
from search_spaces.errors import UserError

MAX_BYTES = 64_000_000
MAX_EPOCHS = 5000
MAX_YAML = 100_000
_KEY = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A run as the report reads it.

    Attributes:
        folder: of the run.
        front: the verified front.
        study: the search, None where it cannot be read.
        predictor: the profile's predictor as plain data; {} if missing, like all that follow.
        memory: measured and closed-form peak memory.
        best: the exported winner.
        space: the search space.
        seconds: duration of each step, s.
        config: the resolved configuration, as text and as data.
        training: one mapping an epoch.
        notes: what could not be read, a line each.
    """

    folder: RunFolder
    front: Front
    study: StudyRecord | None
    predictor: Mapping[str, Any]
    memory: Mapping[str, Any]
    best: Mapping[str, Any]
    space: Mapping[str, Any]
    seconds: Mapping[str, Any]
    config_text: str
    config: Mapping[str, Any]
    training: Sequence[Mapping[str, Any]]
    notes: Sequence[str]


def read_content(folder: RunFolder) -> Content:
    """Read all there is.

    Raises:
        UserError: ``front.json`` is missing or damaged.
    """
    _small_enough(folder.front)
    front = Front.load(folder.front)
    notes: list[str] = []

    def part(path: Path | None, read: Callable[[Path], _T], nothing: _T) -> _T:
        if path is None or not path.is_file():
            return nothing
        try:
            _small_enough(path)
            return read(path)
        except Exception as error:  # whatever a damaged file does to its reader, the page stays
            notes.append(f"{path.name} cannot be read: {error}")
            return nothing

    config_text = part(folder.config, lambda path: path.read_text(encoding="utf-8"), "")
    return Content(
        folder=folder,
        front=front,
        study=part(folder.study, read_study, None),
        predictor=part(predictor_path(folder, front), read_json, {}),
        memory=part(folder.memory, read_json, {}),
        best=part(folder.best, read_json, {}),
        space=part(folder.space, read_json, {}),
        seconds=part(folder.seconds, read_json, {}),
        config_text=config_text,
        config=part(folder.config, _yaml, {}),
        training=part(folder.training_log, _json_lines, []),
        notes=notes,
    )


def predictor_path(folder: RunFolder, front: Front) -> Path | None:
    """The predictor of the front's profile; None where its key is no plain file name."""
    key = front.profile.get("key") if isinstance(front.profile, Mapping) else None
    return folder.predictor(key) if isinstance(key, str) and _KEY.match(key) else None


def _small_enough(path: Path) -> None:
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path}: is larger than {MAX_BYTES // 10**6} MB")


def _yaml(path: Path) -> dict[str, Any]:
    import yaml

    text = path.read_text(encoding="utf-8")
    if len(text) > MAX_YAML:  # its pure Python reader takes seconds a megabyte
        raise UserError(f"larger than {MAX_YAML} characters")
    data = yaml.safe_load(text)
    return data if isinstance(data, dict) else {}


def _json_lines(path: Path) -> list[Mapping[str, Any]]:
    """Whole lines that are JSON objects; a line that is being written is left out."""
    rows: list[Mapping[str, Any]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-MAX_EPOCHS:]:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows
