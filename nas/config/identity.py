"""May this configuration continue that run?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nas.config.fields import IDENTITY, keys
from nas.config.schema import RunConfig
from nas.config.store import to_dict

_ABSENT = "(not set)"


def identity_of(config: RunConfig) -> dict[str, Any]:
    """The identity leaves by dotted key: what, together, names the computation."""
    return dict(_flat(to_dict(config)))


def diff_identity(old: RunConfig, new: RunConfig) -> list[str]:
    """What makes ``new`` another run than ``old``.

    Returns:
        One line per differing identity key, ``training.lr: 0.001 → 0.002``; empty where ``new``
        continues ``old``.
    """
    before, after = identity_of(old), identity_of(new)
    lines = []
    for key in [*before, *(key for key in after if key not in before)]:
        was, now = before.get(key, _ABSENT), after.get(key, _ABSENT)
        if was != now:
            lines.append(f"{key}: {_shown(was)} → {_shown(now)}")
    return lines


def _flat(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in keys(RunConfig):
        if key.kind == IDENTITY:
            value: Any = data
            for part in key.path.split("."):
                value = value[part]
            yield from _leaves(key.path, value)


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    # A limit that is null is no limit: adding a metric later must not change old runs' identity.
    if value is None and path.startswith(("constraints.", "search.reference.")):
        return
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(f"{path}.{name}", inner)
    else:
        yield path, value


def _shown(value: Any) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
