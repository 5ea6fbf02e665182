"""``formfinder describe``: finds what is meant and hands it to the pipeline."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from search_spaces.errors import UserError, nearest, unknown_name


def describe(args: Sequence[str]) -> None:
    """Print an architecture, a run, or a member of its front.

    Args:
        args: what followed ``describe``: one file or one run folder, and ``member=DIGEST``.

    Raises:
        UserError: nothing or too much was named, or it does not exist.
    """
    words = dict(word.split("=", 1) for word in args if "=" in word and not Path(word).exists())
    args = [word for word in args if "=" not in word or Path(word).exists()]
    for name in words:
        if name != "member":
            raise unknown_name("describe", name, ["member"])
    if len(args) != 1:
        given = " ".join(args) or "nothing"
        raise UserError(f"describe: {given!r}: allowed is one ARCH.json, best.json or run folder")
    path = Path(args[0]).expanduser()
    if not path.exists():
        parent = path.parent
        beside = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
        close = nearest(path.name, beside)
        hint = f"; did you mean {str(parent / close)!r}?" if close else ""
        raise UserError(f"describe: {args[0]!r}: no such file or run folder{hint}")
    importlib.import_module("nas.pipeline").describe(path, **words)
