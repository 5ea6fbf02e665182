"""``best.json``: one file that, with the weights beside it, rebuilds the model anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.run_folder import read_json
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError

if TYPE_CHECKING:
    from nas.data.transform import Transform
    from supernet.extract import VisionTransformer

SCHEMA_VERSION = 1


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of ``best.json``."""
    text = resources.files("nas.export").joinpath("best.schema.json").read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def check_best(data: Mapping[str, Any], source: Path) -> None:
    """Hold the content of a ``best.json`` against its schema and against itself.

    Raises:
        UserError: names the field, its value and what is allowed.
    """
    import jsonschema

    version = data.get("schema_version")
    if version != SCHEMA_VERSION:
        raise UserError(f"{source}: schema_version={version!r}: allowed is {SCHEMA_VERSION}")
    validator = jsonschema.Draft202012Validator(schema())
    _refuse(validator, data, source)
    architecture = Architecture.from_dict(data["architecture"])
    if architecture.digest() != data["digest"]:
        raise UserError(
            f"{source}: digest={data['digest']!r} is not that of the architecture "
            f"({architecture.digest()}); one of the two was edited"
        )
    side, channels = data["transform"]["image_size"], data["transform"]["channels"]
    if (architecture.image_size, architecture.channels) != ((side, side), channels):
        raise UserError(
            f"{source}: transform: makes images of {side} px with {channels} channels, the "
            f"architecture takes {list(architecture.image_size)} with {architecture.channels}"
        )


def read_architecture(data: Mapping[str, Any], source: Path) -> Architecture:
    """The architecture of plain data that may have been written by hand.

    Raises:
        UserError: names the field, its value and what is allowed.
    """
    import jsonschema

    whole = schema()
    part = {**whole["$defs"]["architecture"], "$defs": whole["$defs"]}
    if not set(part["properties"]) & set(data):
        needed = ", ".join(part["required"])
        raise UserError(f"{source}: no architecture, best.json or front.json; {needed} are missing")
    _refuse(jsonschema.Draft202012Validator(part), data, source)
    return Architecture.from_dict(data)


def _refuse(validator: Any, data: Mapping[str, Any], source: Path) -> None:
    errors = sorted(validator.iter_errors(data), key=lambda error: len(error.absolute_path))
    if errors:
        field = errors[0].json_path.removeprefix("$").removeprefix(".")
        where = f"{field}: " if field else ""
        raise UserError(f"{source}: {where}{_in_words(errors[0])}")


def _in_words(error: Any) -> str:
    """What the schema finds wrong, in this program's words where they are plainer."""
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"lacks {', '.join(map(repr, missing))}"
    return _short(error.message)


def read_best(path: Path | str) -> dict[str, Any]:
    """Read and check a ``best.json``.

    Raises:
        UserError: missing, damaged, or edited wrongly.
    """
    path = Path(path)
    data = read_json(path)
    check_best(data, path)
    return data


def load_model(path: Path | str) -> VisionTransformer:
    """The standalone model of a ``best.json``, with its weights, in eval mode.

    Args:
        path: the file; the weights lie beside it.

    Returns:
        A module that maps normalised images ``(B, C, H, W)`` to logits ``(B, classes)``.

    Raises:
        UserError: the file was edited wrongly, or weights are missing or not those it names.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from supernet.extract import build_model
    from supernet.training.checkpoint import weights_hash

    path = Path(path)
    data = read_best(path)
    weights = path.parent / data["weights"]["file"]
    try:
        tensors = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{weights}: no weights can be read ({error})") from error
    if weights_hash(tensors) != data["weights"]["hash"]:
        raise UserError(f"{weights}: not the weights that {path.name} names (other hash)")
    try:
        # Shapes only, so that no memory is taken for what does not fit the file.
        with torch.device("meta"):
            model = build_model(
                Architecture.from_dict(data["architecture"]), len(data["task"]["classes"])
            )
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    there = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(wanted.keys() | there.keys()):
        if wanted.get(name) != there.get(name):
            raise UserError(
                f"{weights}: does not fit the architecture: {name} is {there.get(name)}, "
                f"wanted is {wanted.get(name)}"
            )
    model.load_state_dict(tensors, assign=True)
    return model.eval()


def load_transform(path: Path | str) -> Transform:
    """The preprocessing of a ``best.json``: picture, array or file → ``(1, C, H, W)``.

    Raises:
        UserError: the file was edited wrongly.
    """
    from nas.data.transform import Transform

    return Transform.from_dict(read_best(path)["transform"])


def _short(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:157]}..."
