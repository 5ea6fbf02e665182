"""Which space weights fit, and what is different in one they do not fit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from search_spaces.architecture import Architecture
from search_spaces.errors import UserError
from search_spaces.space import SearchSpace
from search_spaces.spec import SpaceSpec
from supernet.importing.imported import Imported

SMALLER = (0.5, 0.75, 1.0)
UNIT = 8  # widths are multiples of it


def fitting_space(weights: Imported) -> dict[str, Any] | None:
    """The declaration of a space that these weights can start, as a space file's content.

    Where their makers declared one, it is theirs; else smaller networks of half the size and up.
    None where the file does not tell its network.
    """
    if weights.space is not None:
        return {**weights.space, **_images()}
    if weights.architecture is None:
        return None
    stage = weights.architecture.stages[0]
    block = stage.blocks[0]
    ratio = _ratio(stage.width, block.mlp_hidden)
    depth = len(stage.blocks)
    choices = {
        "width": sorted({_multiple(share * stage.width) for share in SMALLER[:-1]} | {stage.width}),
        "depth": sorted({max(depth - less, 1) for less in range(max(depth // 3, 1) + 1)}),
        "heads": list(range(max(block.heads // 2, 1), block.heads + 1)),
        "mlp_ratio": sorted({share * ratio for share in SMALLER}),
    }
    return declare(weights.architecture, choices, joint=weights.joint_qkv_bias)


def declare(
    architecture: Architecture, choices: Mapping[str, Any], *, joint: bool
) -> dict[str, Any]:
    """A space of one stage around an architecture's fixed parts."""
    position = architecture.position.to_dict()
    made: dict[str, Any] = {
        **_images(),
        "head_dim": architecture.stages[0].blocks[0].head_dim,
        "patch_size": [architecture.patch_size],
        "embedding": [architecture.embedding.op],
        "position": [position if len(position) > 1 else architecture.position.op],
        "pooling": architecture.pooling,
        "special_tokens": architecture.special_tokens,
        "norm_eps": architecture.norm_eps,
    }
    if joint:
        made["joint_qkv_bias"] = True
    made["stages"] = [{**choices, "attention": ["softmax"], "reduction": ["none"]}]
    return made


def differences(weights: Imported, space: SearchSpace) -> list[str]:
    """What keeps weights of a plain network out of a space, size by size: ``width 384, not 64``.

    The largest member must be of exactly the weights' size; of weights that are nested already it
    may be smaller.
    """
    assert weights.architecture is not None
    spec, theirs = space.spec, weights.architecture
    if len(spec.stages) != 1:
        return [f"1 stage, not {len(spec.stages)}"]
    stage, block = theirs.stages[0], theirs.stages[0].blocks[0]
    ours = spec.stages[0]
    hidden = max(ours.hidden(width, ratio) for width in ours.width for ratio in ours.mlp_ratio)
    found = []
    for name, there, here in (
        ("width", stage.width, max(ours.width)),
        ("depth", len(stage.blocks), max(ours.depth)),
        ("heads", block.heads, max(ours.heads)),
        ("MLP", block.mlp_hidden, hidden),
    ):
        if here > there or (here < there and not weights.nested):
            found.append(f"{name} {there}, not {here}")
    return found + _fixed(weights, spec)


def _fixed(weights: Imported, spec: SpaceSpec) -> list[str]:
    theirs = weights.architecture
    assert theirs is not None
    found = []
    for name, there, here in (
        ("head_dim", theirs.stages[0].blocks[0].head_dim, spec.head_dim),
        ("special_tokens", theirs.special_tokens, spec.special_tokens),
        ("pooling", theirs.pooling, spec.pooling),
        ("norm_eps", theirs.norm_eps, spec.norm_eps),
        ("joint_qkv_bias", weights.joint_qkv_bias, spec.joint_qkv_bias),
    ):
        if there != here:
            found.append(f"{name} {there}, not {here}")
    lists = (
        ("position", theirs.position, spec.position),
        ("embedding", theirs.embedding, spec.embedding),
        ("attention", theirs.stages[0].blocks[0].attention, spec.stages[0].attention),
    )
    for name, setting, offered in lists:
        if setting not in offered:
            found.append(f"{name} {setting}, not {', '.join(map(str, offered))}")
    return found


def in_words(architecture: Architecture) -> str:
    """``width 384, 12 layers, 6 heads of 64, MLP 1536, patch 16 at 224×224 px``."""
    stage, block = architecture.stages[-1], architecture.stages[-1].blocks[-1]
    height, width = architecture.image_size
    return (
        f"width {stage.width}, {architecture.depth} layers, {block.heads} heads of "
        f"{block.head_dim}, MLP {block.mlp_hidden}, patch {architecture.patch_size} at "
        f"{height}×{width} px, position {architecture.position}"
    )


def _images() -> dict[str, Any]:
    side = "${data.image_size}"
    return {"image_size": [side, side], "channels": "${data.channels}"}


def _multiple(width: float) -> int:
    return max(round(width / UNIT), 1) * UNIT


def _ratio(width: int, hidden: int) -> float:
    """The ratio that gives this hidden width back, rounded down as spaces do."""
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else (hidden + 0.5) / width


def space_text(weights: Imported) -> str:
    """A space file for these weights.

    Raises:
        UserError: the file does not tell its network.
    """
    data = fitting_space(weights)
    if data is None:
        raise UserError(
            f"{weights.origin}: a checkpoint alone does not tell its space; name its run"
        )
    words = "" if weights.architecture is None else f": {in_words(weights.architecture)}"
    lines = [f"# Fits {weights.origin}{words}"]
    stages = data.pop("stages")
    for key, value in data.items():
        lines.append(f"{key}: {_flow(value)}")
    lines.append("stages:")
    for stage in stages:
        for number, (key, value) in enumerate(stage.items()):
            lines.append(f"  {'-' if number == 0 else ' '} {key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    text = json.dumps(value)
    # YAML 1.1 takes 1e-06 for a word; with a point it is a number everywhere.
    return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text
