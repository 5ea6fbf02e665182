"""Random architectures, and others whose mixing layers are all of one attention type."""

from __future__ import annotations

import numpy as np

from search_spaces.architecture import Architecture, OpSetting
from search_spaces.automaton import IntArray
from search_spaces.space import SearchSpace

ALL = "all"
CHUNK = 64
SPARE_ROUNDS = 8


def draw_groups(space: SearchSpace, count: int, seed: int) -> dict[str, list[Architecture]]:
    """``count`` distinct architectures of the whole space, and as many of each attention type.

    A larger ``count`` begins with the same ones. A group is smaller where the space has no more,
    or where they are hard to find, and is left out below three.
    """
    groups = {ALL: _distinct(space, count, seed, None)}
    types = _types(space)
    for op in types if len(types) > 1 else ():
        members = _distinct(space, count, seed, op)
        if len(members) > 2:
            groups[op] = members
    return groups


def _types(space: SearchSpace) -> list[str]:
    offered = {setting.op for stage in space.spec.stages for setting in stage.attention}
    mixing = {op for op in offered if space.cards.attention[op].mixes}
    return sorted(mixing - set(space.spec.excluded))


def _distinct(space: SearchSpace, count: int, seed: int, op: str | None) -> list[Architecture]:
    rng = np.random.default_rng([seed, 5, *(op or "").encode()])
    found: dict[Architecture, None] = {}
    for _ in range(4 * -(-count // CHUNK) + SPARE_ROUNDS):
        rows = space.sample_genes(rng, CHUNK)
        rows = rows if op is None else _only(space, rows, op, rng)
        for row in rows:
            if len(found) == count:
                return list(found)
            found[space.decode(row)] = None
    return list(found)[:count]


def _only(space: SearchSpace, genes_BG: IntArray, op: str, rng: np.random.Generator) -> IntArray:
    """The rows with every mixing layer of one type, where the walk lets them be so."""
    genes_BG = genes_BG.copy()
    allowed: dict[int, list[int]] = {}
    for column, gene in enumerate(space.genes):
        if gene.name.endswith(".attention"):
            ops = [OpSetting.parse(str(choice)).op for choice in gene.choices]
            allowed[column] = [index for index, name in enumerate(ops) if name == op]
            if allowed[column]:
                genes_BG[:, column] = rng.choice(allowed[column], len(genes_BG))
    legal_BG = space.repair(genes_BG)[0]
    kept = [row for row in legal_BG if _is_only(space.decode(row), op)]
    return np.array(kept, dtype=np.int64).reshape(-1, legal_BG.shape[1])


def _is_only(architecture: Architecture, op: str) -> bool:
    return all(block.attention.op in (op, "none") for _, block in architecture.blocks())
