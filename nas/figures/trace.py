"""A stored trace, put in order: which rows belong to which block, tokens as they pass."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nas.figures.text import finite

if TYPE_CHECKING:
    from nas.front import Layer

_PATH = re.compile(r"^stages\.(\d+)\.blocks\.(\d+)\.([a-z_]+)$")
HALF = 0.42
"""Half the room a block takes, where blocks are 1 apart."""


@dataclass(slots=True)
class Group:
    """Rows that belong together.

    Attributes:
        title: ``block 1``, ``embedding`` …
        block: index over all stages, None for what is no block.
        rows: part (attention, mlp, reduction …) and row, in order of execution.
    """

    title: str
    block: int | None = None
    rows: list[tuple[str, Layer]] = field(default_factory=list)


def groups(layers: Sequence[Layer]) -> list[Group]:
    """The rows by block, in order; other rows stand alone."""
    made: list[Group] = []
    by_path: dict[tuple[int, int], Group] = {}
    for layer in layers:
        match = _PATH.match(str(layer.name))
        if match is None:
            made.append(Group(str(layer.name), rows=[("other", layer)]))
            continue
        key = int(match[1]), int(match[2])
        if key not in by_path:
            by_path[key] = Group(f"block {len(by_path) + 1}", len(by_path))
            made.append(by_path[key])
        by_path[key].rows.append((match[3], layer))
    return made


@dataclass(frozen=True, slots=True)
class Drop:
    """A place where tokens become fewer.

    Attributes:
        x: where, in blocks from 0.
        before, after: tokens.
        op: what did it.
    """

    x: float
    before: float
    after: float
    op: str


def token_steps(layers: Sequence[Layer]) -> tuple[list[tuple[float, float]], list[Drop]]:
    """(x, tokens) corners of the token count along the blocks, and where it falls."""
    corners: list[tuple[float, float]] = []
    drops: list[Drop] = []
    for group in groups(layers):
        if group.block is None:
            continue
        left, right = group.block - 0.5, group.block + 0.5
        place = {0: group.block - HALF, len(group.rows) - 1: group.block + HALF}
        corners.append((left, finite(group.rows[0][1].tokens_in) or 0.0))
        for index, (_, layer) in enumerate(group.rows):
            before, after = finite(layer.tokens_in) or 0.0, finite(layer.tokens_out) or 0.0
            if before != after:
                x = place.get(index, float(group.block))
                corners += [(x, before), (x, after)]
                drops.append(Drop(x, before, after, str(layer.op)))
        corners.append((right, finite(group.rows[-1][1].tokens_out) or 0.0))
    return corners, drops
