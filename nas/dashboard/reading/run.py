"""One search as the dashboard sees it: its files as they are now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.dashboard.reading.files import (
    FileCache,
    json_lines,
    json_object,
    mapping,
    rows_of,
    yaml_object,
)
from nas.dashboard.reading.journal import TrialLog
from nas.dashboard.reading.provisional import known_front, provisional_front
from nas.front import Front
from nas.report.content import Content, predictor_path
from nas.run_folder import RunFolder

MAX_BASELINES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A search at a moment.

    Attributes:
        key: its name on the page.
        folder: where it lies.
        log: its trials.
        front: the verified front, or the search's own where none is verified yet.
        verified: which of the two.
        content: what the report would read, for figures that both show.
        baselines: nets to compare with: name, metrics, perhaps an architecture.
        proxies: rank fidelity of proxies; {} if it was not measured.
        measurements: rows of the profile's measurements.
        notes: what could not be read, a line each.
    """

    key: str
    folder: RunFolder
    log: TrialLog
    front: Front
    verified: bool
    content: Content
    baselines: Sequence[Mapping[str, Any]]
    proxies: Mapping[str, Any]
    measurements: Sequence[Mapping[str, Any]]
    notes: Sequence[str]

    @property
    def config(self) -> Mapping[str, Any]:
        """The resolved configuration."""
        return self.content.config


class RunReader:
    """Reads one search again and again; what did not change is not read twice.

    Args:
        key: its name on the page.
        folder: of the search.
    """

    def __init__(self, key: str, folder: RunFolder) -> None:
        self.key, self.folder = key, folder
        self.log = TrialLog(folder.study, folder.path)
        self._cache = FileCache(folder.path)
        self._provisional: tuple[int, Front] | None = None
        self._snapshot: Snapshot | None = None
        self._seen: tuple[Any, ...] = ()

    def read(self) -> Snapshot:
        """The search as it is now; the same object while nothing changes."""
        self.log.update()
        parts = self._parts()
        seen = (self.log.changes, *(id(part) for part in parts.values()), *self._cache.notes)
        if self._snapshot is None or seen != self._seen:
            self._snapshot, self._seen = self._made(parts), seen
        return self._snapshot

    def _parts(self) -> dict[str, Any]:
        folder, read = self.folder, self._cache.read
        parts: dict[str, Any] = {"front": read(folder.front, known_front, None)}
        key = self._profile_key(parts["front"])
        lines = [] if key is None else read(folder.measurements(key), json_lines, _NONE)
        predictor = None if key is None else folder.predictor(key)
        return parts | {
            "predictor": read(predictor, json_object, _EMPTY) if predictor else _EMPTY,
            "measurements": lines or _NONE,
            "memory": read(folder.memory, json_object, _EMPTY),
            "best": read(folder.best, json_object, _EMPTY),
            "space": read(folder.space, json_object, _EMPTY),
            "seconds": read(folder.seconds, json_object, _EMPTY),
            "config": read(folder.config, yaml_object, _EMPTY),
            "text": read(folder.config, _text, ""),
            "training": read(folder.training_log, json_lines, _NONE),
            "baselines": read(folder.baselines, json_object, _EMPTY),
            "start": read(folder.start, json_object, _EMPTY),
            "proxies": read(folder.proxies, json_object, _EMPTY),
        }

    def _profile_key(self, front: Front | None) -> str | None:
        if front is None:
            profile: Any = {"key": self.log.identity.get("profile")}
            front = replace(_NO_FRONT, profile=profile)
        path = predictor_path(self.folder, front)
        return None if path is None else path.name.removesuffix(".predictor.json")

    def _made(self, parts: Mapping[str, Any]) -> Snapshot:
        verified = parts["front"] is not None
        front = parts["front"] or self._search_front()
        notes = list(self._cache.notes.values())
        if self.log.skipped:
            notes.append(f"study.journal: {self.log.skipped:,} lines are no records")
        content = Content(
            folder=self.folder,
            front=front,
            study=None,
            predictor=parts["predictor"],
            memory=parts["memory"],
            best=parts["best"],
            space=parts["space"],
            seconds=parts["seconds"],
            config_text=parts["text"],
            config=parts["config"],
            training=parts["training"],
            notes=notes,
        )
        stars = [mapping(row) for row in rows_of(parts["baselines"].get("baselines"))]
        return Snapshot(
            key=self.key,
            folder=self.folder,
            log=self.log,
            front=front,
            verified=verified,
            content=content,
            baselines=[*stars[:MAX_BASELINES], *started_with(parts["start"], self.log)],
            proxies=parts["proxies"],
            measurements=parts["measurements"],
            notes=notes,
        )

    def _search_front(self) -> Front:
        if self._provisional is None or self._provisional[0] != self.log.changes:
            self._provisional = (self.log.changes, provisional_front(self.key, self.log))
        return self._provisional[1]


def started_with(start: Mapping[str, Any], log: TrialLog) -> list[dict[str, Any]]:
    """What the search began with, at what its own trials say of it."""
    stored = [mapping(row) for row in rows_of(start.get("architectures"))[:MAX_BASELINES]]
    if not stored:
        return []
    from search_spaces.architecture import Architecture

    wanted = {}
    for row in stored:
        try:
            wanted[Architecture.from_dict(row).digest()] = row
        except Exception:  # damaged: it is left out
            continue
    rows: list[dict[str, Any]] = []
    for trial in log.trials[: 10 * MAX_BASELINES]:
        if trial.digest in wanted:
            row = wanted.pop(trial.digest)
            name = f"start {len(rows) + 1}"
            rows.append({**trial.metrics, "name": name, "architecture": row, "start": True})
    return rows


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


_EMPTY: dict[str, Any] = {}
_NONE: list[Any] = []
_NO_FRONT = provisional_front("", TrialLog(Path("/nonexistent"), Path("/nonexistent")))
