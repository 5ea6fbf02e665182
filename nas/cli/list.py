"""``formfinder list``: what is registered, plug-ins included, and what ``conf`` holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from nas.config.registries import KINDS, members, registry
from search_spaces.errors import UserError, unknown_name

FILES = {
    "space": "search spaces, a YAML file each",
    "experiment": "whole sets of keys, a YAML file each",
}
COMBINED = ("hardware",)
"""Kinds whose files combine members with other settings."""


def list_members(args: Sequence[str]) -> None:
    """Print one extension point's members, or all extension points.

    Args:
        args: what followed ``list``: nothing, or one kind.

    Raises:
        UserError: there is no such kind, or more than one word was given.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    known = [*KINDS, *FILES]
    if len(args) > 1:
        raise UserError(f"list {' '.join(args)}: allowed is one of {', '.join(known)}")
    if args and args[0] not in known:
        raise unknown_name("kind", args[0], known)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    if args:
        table.add_column(args[0], no_wrap=True)
        table.add_column("what it is")
        for name, summary in _rows(args[0]):
            table.add_row(name, escape(summary))
    else:
        table.add_column("kind", no_wrap=True)
        table.add_column("what it is")
        table.add_column("members")
        for kind, (_, _, summary) in KINDS.items():
            table.add_row(kind, summary, ", ".join(_names(kind)))
        for kind, summary in FILES.items():
            table.add_row(kind, summary, ", ".join(_names(kind)))
    Console(highlight=False).print(table)


def _rows(kind: str) -> Iterator[tuple[str, str]]:
    """Name and summary of what can be chosen: registered members, then files."""
    if kind in KINDS:
        yield from members(kind)
    if kind in FILES or kind in COMBINED:
        yield from files(kind)


def _names(kind: str) -> list[str]:
    return registry(kind).names() if kind in KINDS else [name for name, _ in files(kind)]


def files(group: str) -> Iterator[tuple[str, str]]:
    """Name and first sentence of each file of a configuration group, ``--config-dir`` apart."""
    import conf

    found = {path.stem: path for root in conf.__path__ for path in Path(root, group).glob("*.yaml")}
    for name, path in sorted(found.items()):
        yield name, _summary(path)


def _summary(path: Path) -> str:
    """The comment at the file's head, without Hydra's own line."""
    words = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @"):
            words.append(line.lstrip("# ").strip())
    return " ".join(words)
