"""Two kinds of configuration keys, marked where they are declared.

*Identity* keys say what is computed: changing one makes another run. *Resumable* keys say how long,
where and how loudly: the same run continues under them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, get_type_hints

IDENTITY = "identity"
RESUMABLE = "resumable"

T = TypeVar("T")


def identity(default: Any, summary: str) -> Any:
    """A field whose change makes another run. Mutable defaults are copied."""
    return _field(IDENTITY, default, summary)


def resumable(default: Any, summary: str) -> Any:
    """A field that may change between two starts of one run. Mutable defaults are copied."""
    return _field(RESUMABLE, default, summary)


def section(cls: Callable[[], T], summary: str) -> T:
    """A nested group of fields; each of them says its own kind."""
    made: T = dataclasses.field(default_factory=cls, metadata={"summary": summary})
    return made


def _field(kind: str, default: Any, summary: str) -> Any:
    metadata = {"kind": kind, "summary": summary}
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=lambda: default.copy(), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, slots=True)
class Key:
    """One leaf of the schema.

    Attributes:
        path: dotted, as on the command line: ``search.trials``.
        kind: ``identity`` or ``resumable``.
        summary: one line for ``--help``.
        annotation: the declared type.
        default: the schema's value, before any file of ``conf`` is read.
    """

    path: str
    kind: str
    summary: str
    annotation: Any
    default: Any


def keys(schema: type, prefix: str = "") -> Iterator[Key]:
    """The leaves of a configuration dataclass, in the order of their declaration."""
    hints = get_type_hints(schema)
    for field in dataclasses.fields(schema):
        annotation = hints[field.name]
        path = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
            yield from keys(annotation, f"{path}.")
            continue
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        # Dataclasses of other packages say no kind; what they describe is part of the run.
        kind, summary = field.metadata.get("kind", IDENTITY), field.metadata.get("summary", "")
        yield Key(path, kind, summary, annotation, default)
