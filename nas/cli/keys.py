"""Configuration keys in words: which there are, which one was meant, what may stand there."""

from __future__ import annotations

import contextlib
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from nas.config import RunConfig
from nas.config.fields import keys
from search_spaces.errors import UserError, nearest

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
}


def schema_keys() -> list[str]:
    """The leaves of the schema, dotted."""
    return [key.path for key in keys(RunConfig)]


def composed_keys(overrides: Sequence[str]) -> list[str]:
    """Every key there is under the chosen groups, those of free mappings included."""
    from hydra import compose, initialize_config_module
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    group = re.compile(r"(data|space|hardware|sampler|tracking)=")
    groups = [text for text in overrides if group.match(text)]
    try:
        with initialize_config_module("conf", version_base="1.3"):
            made = OmegaConf.to_container(compose("config", groups), resolve=False)
    except HydraException:
        return schema_keys()
    return list(_leaves(made, ""))


def group_options(group: str) -> list[str]:
    """The members that a configuration group has without ``--config-dir``."""
    from hydra.core.config_store import ConfigStore

    import conf

    options = {path.stem for root in conf.__path__ for path in Path(root, group).glob("*.yaml")}
    with contextlib.suppress(OSError):  # nobody registered such a group
        options |= {Path(name).stem for name in ConfigStore.instance().list(group)}
    return sorted(options)


def unknown_key(name: str, known: Sequence[str]) -> UserError:
    """The error for a key that does not exist: what there is at that place, and the nearest."""
    section, rest = "", name
    while "." in rest and _below(f"{section}{rest.partition('.')[0]}.", known):
        part, _, rest = rest.partition(".")
        section += f"{part}."
    siblings = _below(section, known)
    close = _meant(section, rest, siblings, known)
    hint = f"; did you mean {close!r}?" if close else ""
    where = f"known in {section[:-1]}" if section else "known"
    return UserError(f"{name!r} is no key{hint} ({where}: {', '.join(siblings)})")


def allowed_at(path: str) -> str:
    """What may stand at the key ``path``, in words."""
    for key in keys(RunConfig):
        if key.path == path:
            return _words(key.annotation)
        if path.startswith(f"{key.path}.") and get_origin(key.annotation) is dict:
            return _inside(path[len(key.path) + 1 :], get_args(key.annotation)[1])
    return f"a group of keys, e.g. {path}.{next(iter(_below(f'{path}.', schema_keys())), 'key')}=…"


def _meant(section: str, rest: str, siblings: list[str], known: Sequence[str]) -> str | None:
    last = rest.rpartition(".")[2]
    elsewhere = [path for path in known if path.rpartition(".")[2] == last]
    if elsewhere:
        return nearest(section + rest, elsewhere) or elsewhere[0]
    first = re.split(r"[./]", rest, maxsplit=1)[0]
    close = nearest(first, siblings)
    if close:
        return section + close
    ends = {path.rpartition(".")[2]: path for path in known}
    close = nearest(last, ends)
    return ends[close] if close and not section else None


def _below(start: str, known: Sequence[str]) -> list[str]:
    parts = [path[len(start) :].partition(".")[0] for path in known if path.startswith(start)]
    return list(dict.fromkeys(parts))


def _leaves(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    else:
        yield path


def _inside(rest: str, annotation: Any) -> str:
    """The same for a key inside a mapping of values or of dataclasses."""
    fields = {key.path: key for key in keys(annotation)} if isinstance(annotation, type) else {}
    if not fields:
        return _words(annotation)
    key = fields.get(rest.rpartition(".")[2])
    return _words(key.annotation) if key else f"one of {', '.join(fields)}"


def _words(annotation: Any) -> str:
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [part for part in get_args(annotation) if part is not type(None)]
        return f"{_words(parts[0])} or null"
    if get_origin(annotation) is list:
        return "a list, e.g. [a,b]"
    if get_origin(annotation) is dict:
        return "a group of keys"
    return _WORDS.get(annotation, "another type")
