"""``formfinder list``: what is registered, plug-ins included."""

from __future__ import annotations

from collections.abc import Sequence

from nas.config.registries import KINDS, members, registry
from search_spaces.errors import UserError


def list_members(args: Sequence[str]) -> None:
    """Print one extension point's members, or all extension points.

    Args:
        args: what followed ``list``: nothing, or one kind.

    Raises:
        UserError: there is no such kind, or more than one word was given.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    if len(args) > 1:
        raise UserError(f"list {' '.join(args)}: allowed is one of {', '.join(KINDS)}")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    if args:
        registry(args[0])  # an unknown kind is told before anything is drawn
        table.add_column(args[0], no_wrap=True)
        table.add_column("what it is")
        for name, summary in members(args[0]):
            table.add_row(name, summary)
    else:
        table.add_column("kind", no_wrap=True)
        table.add_column("what it is")
        table.add_column("members")
        for kind, (_, _, summary) in KINDS.items():
            table.add_row(kind, summary, ", ".join(registry(kind).names()))
    Console(highlight=False).print(table)
