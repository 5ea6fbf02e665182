"""What a tracker's file registers: a thin interface over files and others' services."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, get_type_hints

from search_spaces.errors import bad_value, unknown_name
from search_spaces.registry import Registry

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

O = TypeVar("O")  # noqa: E741
Value = float | int | bool | str | None
Status = Literal["finished", "failed", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """What a tracker is told about a training or a search.

    Attributes:
        kind: which of the two.
        title: the run's name, and the profile's where it has several.
        id: the same at every start of this training or search; no two have the same.
        part: ``training``, ``search`` or ``search-PROFILE``: a name for files.
        folder: where files for people go.
        place: where trackers keep theirs, ``RUN/tracking``; it may not exist yet.
        step: what ``log`` counts: ``epoch`` or ``trial``.
        first: the first step of this start; those before it were logged by earlier ones.
        config: the resolved configuration, passwords masked.
    """

    kind: Literal["training", "search"]
    title: str
    id: str
    part: str
    folder: Path
    place: Path
    step: str
    first: int
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """A table: the names of its columns, and rows of as many values."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


class Tracker(Protocol):
    """One training or search in one tracker. Whatever a method raises is said, not passed on."""

    def log(self, step: int, values: Mapping[str, Value]) -> None:
        """Values of one epoch or trial; steps rise."""
        ...

    def table(self, name: str, rows: Rows) -> None:
        """A table, the front say."""
        ...

    def figure(self, name: str, figure: Figure) -> None:
        """A Plotly figure."""
        ...

    def artifact(self, name: str, kind: str, files: Sequence[Path]) -> None:
        """Files that belong together, the found architecture say."""
        ...

    def finish(self, status: Status) -> str | None:
        """The last call; what a user should know now, in one line, or None."""
        ...


class TrackerKind(Protocol):
    """A tracker that can be chosen.

    Attributes:
        name: as in ``tracking=NAME``.
        label: for people.
        summary: one line for ``list`` and the docs.
        options: a frozen dataclass; its fields and defaults are what ``tracking.options`` may say.
            It refuses values out of their domain itself.
        keeps: whether it keeps what it was told: then only new steps are logged to it, and
            the results of a finished search once.
    """

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def options(self) -> type[Any]: ...
    @property
    def keeps(self) -> bool: ...

    def start(self, run: TrackedRun, options: Any) -> Tracker:
        """Open, or go on with, ``run``; called with the first thing there is to say."""
        ...


TRACKERS: Registry[TrackerKind] = Registry("tracker", "nas.tracking")


def read_options(schema: type[O], given: Mapping[str, Any]) -> O:
    """An instance of a tracker's options, ``given`` over its defaults.

    Raises:
        UserError: an option is unknown, of another type, or out of its domain.
    """
    hints = get_type_hints(schema)
    names = [field.name for field in fields(schema)]  # type: ignore[arg-type]
    for key, value in given.items():
        if key not in names:
            raise unknown_name("tracking.options", str(key), names)
        kinds = getattr(hints[key], "__args__", (hints[key],))
        if type(value) not in kinds and not (type(value) is int and float in kinds):
            words = ["null" if kind is type(None) else kind.__name__ for kind in kinds]
            raise bad_value(f"tracking.options.{key}", value, " or ".join(words))
    return schema(**given)


def numbers(values: Mapping[str, Value]) -> dict[str, float]:
    """Those of ``values`` that a curve can be drawn of; truth is 1."""
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, bool | int | float) and math.isfinite(value)
    }
