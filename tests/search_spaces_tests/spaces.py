"""Small spaces, and their architectures listed by brute force."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from search_spaces.architecture import Architecture, Block, OpSetting, Stage
from search_spaces.automaton import walk
from search_spaces.space import SearchSpace
from search_spaces.spec import StageSpec
from supernet.operators import all_cards

CONF = Path(__file__).resolve().parents[2] / "conf"
CARDS = all_cards()

LAYER: dict[str, Any] = {"width": [16], "depth": [1], "heads": [1], "mlp_ratio": [1]}
TINY: dict[str, Any] = {
    "image_size": [8, 8],
    "channels": 1,
    "head_dim": 8,
    "patch_size": [2],
    "stages": [{**LAYER, "attention": ["softmax"]}],
}


def declared(stages: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
    """A declaration: ``TINY`` with changes; ``stages`` hold changes of ``LAYER``."""
    data = copy.deepcopy(TINY) | changes
    if stages is not None:
        data["stages"] = [{**LAYER, "attention": ["softmax"], **stage} for stage in stages]
    return data


def space_of(stages: list[dict[str, Any]] | None = None, **changes: Any) -> SearchSpace:
    """The space of ``declared``."""
    return SearchSpace(declared(stages, **changes), CARDS)


def default_space() -> SearchSpace:
    """The shipped space at the default data's size."""
    data = yaml.safe_load((CONF / "space" / "digits.yaml").read_text())
    return SearchSpace({**data, "image_size": [16, 16], "channels": 1}, CARDS)


TOME = {"op": "tome", "keep": [0.5]}
EVIT = {"op": "evit", "keep": [0.5]}
WINDOW = {"op": "window", "size": [2]}

SMALL: dict[str, SearchSpace] = {
    "heads and ratios, heads inactive for none": space_of(
        [{"depth": [1, 2], "heads": [1, 2], "mlp_ratio": [1, 2], "attention": ["softmax", "none"]}]
    ),
    "two patches, one too coarse for a reduction": space_of(
        [{"depth": [1, 2], "width": [16, 24], "reduction": ["none", TOME]}],
        patch_size=[2, 4],
        position=["none"],
        min_tokens=4,
    ),
    "reductions that dissolve the grid which windows need": space_of(
        [
            {
                "depth": [1, 2, 3],
                "attention": ["softmax", WINDOW],
                "reduction": ["none", TOME, EVIT, "pool2d"],
            }
        ],
        position=["none", "peg"],
        min_tokens=2,
    ),
    "few tokens left": space_of(
        [{"depth": [2, 3], "attention": ["softmax"], "reduction": ["none", TOME]}], min_tokens=8
    ),
    "two stages": space_of(
        [
            {"depth": [1, 2], "attention": ["softmax", WINDOW], "reduction": ["none", TOME]},
            {"depth": [1, 2], "heads": [1, 2], "attention": ["softmax", "none"], "width": [8, 24]},
        ],
        min_tokens=2,
    ),
    "three stages, the last reached by few": space_of(
        [
            {"depth": [1, 2], "attention": ["softmax", "none"], "reduction": ["none", "pool2d"]},
            {"attention": ["none", "softmax"], "reduction": ["none", TOME]},
            {"attention": ["softmax"], "width": [16, 32]},
        ],
        min_tokens=1,
    ),
    "class token, tables and PEG": space_of(
        [{"depth": [1, 2], "reduction": ["none", EVIT]}],
        special_tokens=1,
        pooling="class",
        position=["none", "table", "peg"],
        patch_size=[2, 4],
    ),
    "padded": space_of([{"depth": [1, 2], "reduction": ["none", TOME]}], patch_size=[3], pad=True),
}


def every_architecture(space: SearchSpace) -> Iterator[Architecture]:
    """All legal architectures: every combination of choices, held against the walk one by one."""
    spec = space.spec
    choices = itertools.product(
        spec.patch_size,
        spec.embedding,
        spec.position,
        itertools.product(*(list(_stages(space, stage)) for stage in spec.stages)),
    )
    for patch, embedding, position, stages in choices:
        architecture = Architecture(
            image_size=spec.image_size,
            channels=spec.channels,
            patch_size=patch,
            embedding=embedding,
            position=position,
            special_tokens=spec.special_tokens,
            pooling=spec.pooling,
            norm_eps=spec.norm_eps,
            stages=stages,
        )
        if not isinstance(walk(spec, space.cards, architecture), str):
            yield architecture


def _stages(space: SearchSpace, stage: StageSpec) -> Iterator[Stage]:
    for width, depth, transition in itertools.product(stage.width, stage.depth, stage.transition):
        blocks = list(_blocks(space, stage, width))
        for chosen in itertools.product(blocks, repeat=depth):
            yield Stage(width=width, blocks=chosen, transition=transition)


def _blocks(space: SearchSpace, stage: StageSpec, width: int) -> Iterator[Block]:
    for attention, ratio, reduction in itertools.product(
        stage.attention, stage.mlp_ratio, stage.reduction
    ):
        has_heads = space.cards.attention[attention.op].has_heads
        for heads in stage.heads if has_heads else (0,):
            yield Block(
                attention=attention,
                heads=heads,
                head_dim=space.spec.head_dim if has_heads else 0,
                mlp_hidden=int(width * ratio),
                reduction=reduction,
            )


def setting(label: str) -> OpSetting:
    """``OpSetting.parse``, for brevity."""
    return OpSetting.parse(label)
