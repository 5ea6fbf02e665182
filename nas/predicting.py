"""``formfinder predict``: what an exported model says of pictures."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search_spaces.errors import UserError, bad_value, unknown_name

OPTIONS = ("top", "json")
CHUNK = 64
NAMED = 5  # unreadable pictures


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks.

    Attributes:
        model: a ``best.json``.
        images: files, in the order given; those of folders sorted by name.
        top: how many classes of each.
        as_json: one JSON line an image instead of a table.
    """

    model: Path
    images: tuple[Path, ...]
    top: int
    as_json: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says of one picture.

    Attributes:
        image: the file.
        classes: the most probable first, ``[{"class", "probability"}]``.
    """

    image: str
    classes: list[dict[str, Any]]


def predict(args: Sequence[str]) -> None:
    """Print class and probability of each picture.

    Args:
        args: what followed ``predict``: a ``best.json`` or a run, pictures or folders of them,
            ``top=N``, ``json=true`` or ``--json``.

    Raises:
        UserError: a word cannot be read, the model is none, or a picture cannot be opened (said
            after what the model says of the others).
    """
    request = read_request(args)
    answers, unread = predicted(request)
    if request.as_json:
        for answer in answers:
            sys.stdout.write(json.dumps(asdict(answer), ensure_ascii=False) + "\n")
    elif answers:
        _table(answers)
    if unread:
        count = f"{len(unread)} of {len(request.images)} pictures cannot be opened: "
        listed = "; ".join(unread[:NAMED]) + ("; ..." if len(unread) > NAMED else "")
        raise UserError(listed if len(request.images) == 1 else count + listed)


def read_request(args: Sequence[str]) -> Request:
    """The words as a request; every file is looked for before a model is loaded."""
    words = {"top": "1", "json": "false"}
    paths: list[Path] = []
    for word in args:
        name, sign, value = word.partition("=")
        if word == "--json":
            words["json"] = "true"
        elif word.startswith("-"):
            raise unknown_name("option", word, ("--json", "--help"))
        elif not sign or Path(word).exists():
            paths.append(Path(word).expanduser())
        elif name in OPTIONS:
            words[name] = value
        else:
            raise unknown_name("predict", name, OPTIONS)
    if len(paths) < 2:
        raise UserError("predict: allowed is a best.json and pictures: predict best.json a.png")
    if not words["top"].isdigit() or int(words["top"]) < 1:
        raise bad_value("top", words["top"], "1 or more")
    if words["json"] not in ("true", "false"):
        raise bad_value("json", words["json"], "true or false")
    model = paths[0] / "best.json" if paths[0].is_dir() else paths[0]
    images = tuple(found for path in paths[1:] for found in _pictures(path))
    return Request(model, images, int(words["top"]), words["json"] == "true")


def _pictures(path: Path) -> list[Path]:
    """A picture, or those of a folder."""
    if not path.is_dir():
        if not path.exists():
            raise UserError(f"{path}: no such picture")
        return [path]
    from PIL import Image

    known = Image.registered_extensions()
    found = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in known and p.is_file()]
    if not found:
        raise UserError(f"{path}: no pictures in this folder")
    return found


def predicted(request: Request) -> tuple[list[Answer], list[str]]:
    """The model's answers, picture by picture, and what is wrong with those it cannot open.

    Raises:
        UserError: the model is none.
    """
    import torch

    from nas.export.best import load_model, load_transform, read_best

    classes = read_best(request.model)["task"]["classes"]
    transform, model = load_transform(request.model), load_model(request.model)
    top = min(request.top, len(classes))
    answers: list[Answer] = []
    unread: list[str] = []
    for start in range(0, len(request.images), CHUNK):
        chunk, opened = [], []
        for path in request.images[start : start + CHUNK]:
            try:
                opened.append(transform(path))
                chunk.append(path)
            except UserError as error:
                unread.append(str(error))
        if not opened:
            continue
        images_BCHW = torch.cat(opened)
        with torch.inference_mode():
            best = model(images_BCHW).softmax(dim=1).topk(top, dim=1)
        for path, values, indices in zip(
            chunk, best.values.tolist(), best.indices.tolist(), strict=True
        ):
            pairs = zip(indices, values, strict=True)
            named = [{"class": classes[i], "probability": round(p, 6)} for i, p in pairs]
            answers.append(Answer(str(path), named))
    return answers, unread


def _table(answers: Sequence[Answer]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("image", overflow="fold")
    table.add_column("class", overflow="fold")
    table.add_column("probability", justify="right", no_wrap=True)
    for answer in answers:
        for rank, entry in enumerate(answer.classes):
            image = "" if rank else escape(answer.image)
            table.add_row(image, escape(entry["class"]), f"{entry['probability']:.4f}")
    Console(highlight=False).print(table)
