"""``formfinder merge``: reads what is to be merged into what, and hands it on."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from search_spaces.errors import UserError, bad_value, unknown_name

NAMES = ("name", "out_dir")


def merge(args: Sequence[str]) -> None:
    """Merge the fronts of several runs.

    Args:
        args: what followed ``merge``: run folders, ``name=NAME``, ``out_dir=DIR``.

    Raises:
        UserError: a word cannot be read, a folder does not exist, or the runs cannot be merged.
    """
    words = {"name": "merged", "out_dir": "runs"}
    paths = []
    for word in args:
        name, sign, value = word.partition("=")
        path = Path(word).expanduser()
        if path.is_dir():
            paths.append(path)
        elif sign and name in NAMES:
            words[name] = value
        elif sign:
            raise unknown_name("merge", name, NAMES)
        else:
            raise UserError(f"merge: {word!r}: no such run folder")
    if len(paths) < 2:
        raise bad_value("merge", " ".join(map(str, paths)), "two run folders or more")
    if words["name"] in ("", ".", "..") or "/" in words["name"]:
        raise bad_value("name", words["name"], "a folder's name, without /")
    target = Path(words["out_dir"]).expanduser() / words["name"]
    importlib.import_module("nas.merging").merge_runs(paths, target)
