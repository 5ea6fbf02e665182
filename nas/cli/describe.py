"""``formfinder describe``: finds what is meant and hands it to the pipeline."""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search_spaces.errors import UserError, bad_value, nearest, unknown_name
from search_spaces.presets import PRESETS, preset

WORDS = ("member", "hardware", "batch", "measure")


def describe(args: Sequence[str]) -> None:
    """Print an architecture, a run, or a member of its front.

    Args:
        args: what followed ``describe``: one file, run folder or published architecture,
            ``member=DIGEST``, ``hardware=NAME``, and ``batch=N`` and ``measure=true`` there.

    Raises:
        UserError: nothing or too much was named, or it does not exist.
    """
    words = dict(word.split("=", 1) for word in args if "=" in word and not Path(word).exists())
    args = [word for word in args if "=" not in word or Path(word).exists()]
    for name in words:
        if name not in WORDS:
            raise unknown_name("describe", name, WORDS)
    if len(args) != 1:
        given = " ".join(args) or "nothing"
        raise UserError(f"describe: {given!r}: allowed is one ARCH.json, best.json or run folder")
    path = Path(args[0]).expanduser()
    published = args[0] in PRESETS and not path.exists()
    if not path.exists() and not published:
        parent = path.parent
        beside = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
        close = nearest(path.name, [*beside, *PRESETS])
        shown = close if close in PRESETS else str(parent / (close or ""))
        hint = f"; did you mean {shown!r}?" if close else ""
        raise UserError(f"describe: {args[0]!r}: no such file or run folder{hint}")
    for name in ("batch", "measure"):
        if name in words and "hardware" not in words:
            raise UserError(f"describe: {name}= is about a device: name it with hardware=NAME")
    measure = words.pop("measure", "false")
    if measure not in ("true", "false"):
        raise bad_value("measure", measure, "true or false")
    batch = words.pop("batch", "")
    if batch and not (batch.isdecimal() and int(batch) > 0):
        raise bad_value("batch", batch, "a positive integer")
    more: dict[str, Any] = {"batch": int(batch)} if batch else {}
    if measure == "true":
        more["measure"] = True
    describe = importlib.import_module("nas.pipeline").describe
    if not published:
        describe(path, **words, **more)
        return
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / f"{args[0]}.json"
        written.write_text(json.dumps(preset(args[0]).to_dict()), encoding="utf-8")
        describe(written, **words, **more)
