"""Which runs there are in the folders that were named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nas.run_folder import RunFolder

MAX_RUNS = 200
_MARKS = ("config.yaml", "study.journal", "front.json", "space.json")  # a merged one has the last


def is_run(path: Path) -> bool:
    """Whether a folder looks like a run, be it one that has just begun."""
    return any((path / mark).exists() for mark in _MARKS)


def find_runs(places: Sequence[Path]) -> list[RunFolder]:
    """The searches of the named run folders, and of those inside the named folders.

    Args:
        places: run folders or folders of them.

    Returns:
        One for each profile's search, in the order named, by name inside a folder.
    """
    found: dict[tuple[Path, str | None], RunFolder] = {}
    for place in places:
        for path in [place] if is_run(place) else _children(place):
            for part in RunFolder.at(path).parts():
                found.setdefault((part.path.resolve(), part.device), part)
                if len(found) >= MAX_RUNS:
                    return list(found.values())
    return list(found.values())


def _children(place: Path) -> list[Path]:
    try:
        return sorted(p for p in place.iterdir() if p.is_dir() and is_run(p))
    except OSError:
        return []


def keys_of(folders: Sequence[RunFolder]) -> dict[str, RunFolder]:
    """A short name for each search, told apart by numbers where folders share a name."""
    made: dict[str, RunFolder] = {}
    for folder in folders:
        key, number = folder.title, 1
        while key in made:
            number += 1
            key = f"{folder.title} ({number})"
        made[key] = folder
    return made
