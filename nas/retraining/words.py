"""``formfinder retrain best.json``: a model's file names its run as well."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from nas.config.retraining import RetrainConfig
from search_spaces.errors import UserError

CONFIG = "config.yaml"


def model_words(words: Sequence[str]) -> list[str]:
    """The words with ``best.json`` replaced by its run folder and ``retrain.model=``.

    Raises:
        UserError: the file lies in no run folder.
    """
    return [word for given in words for word in _expanded(given)]


def check_keys(overrides: Sequence[str], sections: Sequence[str]) -> None:
    """Refuse keys of a whole run, which a single model's training does not read.

    Raises:
        UserError: names the first, and the key of the same name that is read, if there is one.
    """
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        root = re.split(r"[./]", key)[0]
        if root not in ("run", "hydra", *sections):
            leaf = re.split(r"[./]", key)[-1]
            own = leaf in {field.name for field in fields(RetrainConfig)}
            hint = f"; did you mean retrain.{leaf}?" if own else ""
            raise UserError(
                f"retrain: {key} is not read{hint} (read are retrain.KEY, "
                f"{', '.join(name for name in sections if name != 'retrain')})"
            )


def _expanded(word: str) -> Iterator[str]:
    path = Path(word).expanduser()
    if not word.endswith(".json") or not path.is_file():
        yield word
        return
    path = path.resolve()
    run = next((folder for folder in path.parents if (folder / CONFIG).is_file()), None)
    if run is None:
        raise UserError(
            f"{word!r} lies in no run folder, whose images are needed: "
            f"formfinder retrain RUN retrain.model={word}"
        )
    yield f"run={_quoted(run)}"
    yield f"retrain.model={_quoted(path)}"


def _quoted(path: Path) -> str:
    """As Hydra reads it: blanks, commas and brackets mean something to it."""
    text = str(path).replace("\\", "\\\\").replace("'", "\\'") if "'" in str(path) else str(path)
    return f"'{text}'"
