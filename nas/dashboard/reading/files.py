"""Files of a run folder that anybody may have written: capped, and never outside the folder."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from nas.figures.text import cleaned
from search_spaces.errors import UserError

MAX_BYTES = 64_000_000
MAX_YAML = 100_000
MAX_LINES = 5000
_T = TypeVar("_T")
Stamp = tuple[int, int, int]
"""(inode, size, time of change in ns): another one means another content."""


def stamp(path: Path) -> Stamp | None:
    """The file's stamp, None where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def inside(path: Path, root: Path) -> bool:
    """Whether ``path`` lies in ``root``, links followed."""
    try:
        return path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # a link that leads to itself
        return False


def json_object(path: Path) -> dict[str, Any]:
    """A JSON object; damaged or too deep is a UserError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"damaged ({cleaned(error, 80)})") from error
    if not isinstance(data, dict):
        raise UserError("not a JSON object")
    return data


def json_lines(path: Path) -> list[dict[str, Any]]:
    """The last whole lines that are JSON objects; the one that is being written is left out."""
    text = path.read_text(encoding="utf-8", errors="replace")
    rows = []
    for line in text[: text.rfind("\n") + 1].splitlines()[-MAX_LINES:]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def yaml_object(path: Path) -> dict[str, Any]:
    """A small YAML file; its pure Python reader takes seconds a megabyte."""
    import yaml

    text = path.read_text(encoding="utf-8", errors="replace")
    if len(text) > MAX_YAML:
        raise UserError(f"larger than {MAX_YAML} characters")
    if "&" in text and "*" in text:  # references can make megabytes of a few lines
        raise UserError("has references, which no run writes")
    data = yaml.safe_load(text)
    return data if isinstance(data, dict) else {}


def mapping(value: object) -> Mapping[str, Any]:
    """``value`` where it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def rows_of(value: object) -> list[Any]:
    """``value`` where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def numbers(value: object) -> dict[str, float]:
    """The finite numbers of a mapping."""
    made = {}
    for name, number in mapping(value).items():
        if isinstance(number, int | float) and not isinstance(number, bool):
            try:
                known = float(number)
            except OverflowError:
                continue
            if math.isfinite(known):
                made[str(name)] = known
    return made


@dataclass
class FileCache:
    """Files read once for each content.

    Args:
        root: no file outside it is opened.

    Attributes:
        notes: by file name, what could not be read.
    """

    root: Path
    notes: dict[str, str] = field(default_factory=dict)
    _known: dict[Path, tuple[Stamp, Any]] = field(default_factory=dict)

    def read(self, path: Path, reader: Callable[[Path], _T], nothing: _T) -> _T:
        """What ``reader`` makes of the file; ``nothing`` where it is missing or unreadable."""
        now = stamp(path)
        if now is None:
            self._forget(path)
            return nothing
        known = self._known.get(path)
        if known is not None and known[0] == now:
            value: _T = known[1]
            return value
        value = self._read(path, reader, nothing, now[1])
        self._known[path] = (now, value)
        return value

    def _forget(self, path: Path) -> None:
        self._known.pop(path, None)
        self.notes.pop(path.name, None)

    def _read(self, path: Path, reader: Callable[[Path], _T], nothing: _T, size: int) -> _T:
        self.notes.pop(path.name, None)
        try:
            if not inside(path, self.root):
                raise UserError("leads out of the run folder")
            if not path.is_file():
                raise UserError("is no file")
            if size > MAX_BYTES:
                raise UserError(f"is larger than {MAX_BYTES // 10**6} MB")
            return reader(path)
        except Exception as error:  # whatever a damaged file does to its reader, the page stays
            self.notes[path.name] = f"{path.name}: {cleaned(error, 160)}"
            return nothing
