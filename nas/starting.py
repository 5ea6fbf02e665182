"""Known good architectures that a search begins with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nas.export.best import check_best, read_architecture
from nas.front import Front
from nas.run_folder import RunFolder, read_json, write_json
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError
from search_spaces.presets import PRESETS, preset
from search_spaces.space import SearchSpace

if TYPE_CHECKING:
    from nas.display import Display
    from nas.run import Run

FIELD = "search.start_from"
SHOWN = 10


@dataclass(frozen=True)
class Known:
    """What was found at the named places.

    Attributes:
        architectures: those of the space, each once, in the order they were named.
        skipped: a line for each that is not in the space, with the reason.
    """

    architectures: tuple[Architecture, ...]
    skipped: tuple[str, ...]


def known_good(space: SearchSpace, places: Sequence[str]) -> Known:
    """The architectures of ``search.start_from``.

    Args:
        space: what may be proposed.
        places: run folders, ``front.json``, ``best.json`` or architecture files, or names of
            published architectures, which are taken at the space's image size.

    Raises:
        UserError: a place does not exist or holds no architecture, or none of the architectures
            is in the space.
    """
    found: dict[str, Architecture] = {}
    skipped: dict[str, str] = {}
    for place in places:
        for architecture in _named(space, place):
            digest, reason = architecture.digest(), space.why_not(architecture)
            if reason is None:
                found.setdefault(digest, architecture)
            else:
                skipped[digest] = f"{FIELD}: {digest} of {place} is not in the space: {reason}"
    if skipped and not found:
        first = next(iter(skipped.values()))
        more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
        raise UserError(f"{first}{more}; nothing is left to start from")
    return Known(tuple(found.values()), tuple(skipped.values()))


def _named(space: SearchSpace, place: str) -> Iterator[Architecture]:
    if place in PRESETS:
        yield preset(place, space.spec.image_size, space.spec.channels)
    else:
        yield from architectures_at(Path(place).expanduser())


def architectures_at(path: Path) -> Iterator[Architecture]:
    """The architectures of a file, or of the verified fronts of a run.

    Raises:
        UserError: there is none.
    """
    if path.is_dir():
        fronts = [part.front for part in RunFolder(path).parts() if part.front.exists()]
        if not fronts:
            raise UserError(f"{FIELD}: {path}: no front.json; is it a finished run?")
        for front in fronts:
            yield from architectures_at(front)
        return
    if not path.exists():
        known = ", ".join(PRESETS)
        raise UserError(f"{FIELD}: {path}: no such file or run folder, nor one of {known}")
    data = read_json(path)
    if "members" in data:
        for member in Front.load(path).standing():
            yield member.architecture
    elif "architecture" in data:
        check_best(data, path)
        yield Architecture.from_dict(data["architecture"])
    else:
        yield read_architecture(data, path)


def frozen(file: Path, architectures: Sequence[Architecture]) -> tuple[Architecture, ...]:
    """What the study began with: read from ``file``, or written there for its later starts.

    What a study begins with is part of it, while the fronts it was taken from may move on.
    """
    if file.exists():
        stored = read_json(file)["architectures"]
        return tuple(Architecture.from_dict(data) for data in stored)
    if architectures:
        write_json(file, {"architectures": [a.to_dict() for a in architectures]})
    return tuple(architectures)


def started_with(run: Run, display: Display) -> tuple[Architecture, ...]:
    """What a run's search begins with: what was named, then the fronts of its earlier profiles.

    Raises:
        UserError: as ``known_good``; not once the study has begun.
    """
    if run.folder.start.exists():
        return frozen(run.folder.start, ())
    known = known_good(run.offered, run.config.search.start_from)
    for line in known.skipped[:SHOWN]:
        display.line(line)
    found = {architecture.digest(): architecture for architecture in known.architectures}
    for folder in run.earlier:
        for member in Front.load(folder.front).standing():
            if run.offered.contains(member.architecture):
                found.setdefault(member.digest, member.architecture)
    if found:
        display.line(f"begins with {len(found)} known architectures")
    return frozen(run.folder.start, list(found.values()))
