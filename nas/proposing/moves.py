"""Architectures one step away: smaller ones, whole factors smaller, larger ones. Legal, distinct.

Every function takes one canonical row ``(G,)`` and gives rows ``(B, G)`` other than it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from search_spaces.automaton import IntArray
from search_spaces.genes import LAYER_GENES
from search_spaces.space import SearchSpace

WIDTH, DEPTH = 1, 2  # behind a stage's first gene
HEADS, RATIO = LAYER_GENES.index("heads"), LAYER_GENES.index("mlp_ratio")
KINDS = LAYER_GENES.index("attention"), LAYER_GENES.index("reduction")


def smaller(space: SearchSpace, row_G: IntArray) -> IntArray:
    """One gene less by any number of steps, or another operator somewhere (cheaper or not).

    A width, one layer's heads or MLP, any one layer gone or several last ones; another attention
    type or reduction in one layer; another patch size.
    """
    made = [*_other_choices(space, row_G, 0)]
    for stage in range(len(space.spec.stages)):
        start = space.layout.stage_start[stage]
        made += _lower_choices(row_G, start + WIDTH)
        made += _without_a_layer(space, row_G, stage) + _lower_choices(row_G, start + DEPTH)
        for layer in range(_depth(space, row_G, stage)):
            first = space.layout.layer_start(stage, layer)
            made += _lower_choices(row_G, first + HEADS)
            made += _lower_choices(row_G, first + RATIO)
            for kind in KINDS:
                made += _other_choices(space, row_G, first + kind)
    return _legal(space, row_G, made)


def contracted(space: SearchSpace, row_G: IntArray) -> IntArray:
    """One factor of a stage less: its width, its depth, all its heads, all its MLPs, its tokens."""
    made = [*_other_choices(space, row_G, 0)]
    for stage in range(len(space.spec.stages)):
        made += _moved(row_G, [space.layout.stage_start[stage] + WIDTH], -1)
        made += _without_a_layer(space, row_G, stage)[-1:]
        for gene in (HEADS, RATIO):
            made += _moved(row_G, _layer_columns(space, row_G, stage, gene), -1)
        for column in _layer_columns(space, row_G, stage, KINDS[1]):
            made += _other_choices(space, row_G, column)
    return _legal(space, row_G, made)


def grown(space: SearchSpace, row_G: IntArray) -> IntArray:
    """One layer more in a stage, with its width as it is, one or two steps wider; or only wider,
    with more heads in all its layers, or larger MLPs.

    A new layer is like the last one.
    """
    made = []
    for stage in range(len(space.spec.stages)):
        start = space.layout.stage_start[stage]
        deeper = [row_G, *_with_a_layer(space, row_G, stage)]
        for base in deeper:
            made += [base, *_moved(base, [start + WIDTH], 1), *_moved(base, [start + WIDTH], 2)]
        for gene in (HEADS, RATIO):
            made += _moved(row_G, _layer_columns(space, row_G, stage, gene), 1)
    tops = np.array([len(gene.choices) - 1 for gene in space.genes])
    return _legal(space, row_G, [np.minimum(row, tops) for row in made])


def distinct(genes_BG: IntArray) -> IntArray:
    """Each row once, in order."""
    if not len(genes_BG):
        return genes_BG
    _, first = np.unique(genes_BG, axis=0, return_index=True)
    kept: IntArray = genes_BG[np.sort(first)]
    return kept


def _depth(space: SearchSpace, row_G: IntArray, stage: int) -> int:
    return space.spec.stages[stage].depth[int(row_G[space.layout.stage_start[stage] + DEPTH])]


def _layer_columns(space: SearchSpace, row_G: IntArray, stage: int, gene: int) -> list[int]:
    layers = range(_depth(space, row_G, stage))
    return [space.layout.layer_start(stage, layer) + gene for layer in layers]


def _moved(row_G: IntArray, columns: Iterable[int], step: int) -> list[IntArray]:
    """The columns' ordered genes by ``step``, not below 0; nothing where none of them moves."""
    made = row_G.copy()
    chosen = list(columns)
    made[chosen] = np.maximum(made[chosen] + step, 0)
    return [] if np.array_equal(made, row_G) else [made]


def _lower_choices(row_G: IntArray, column: int) -> list[IntArray]:
    made = []
    for choice in range(int(row_G[column])):
        row = row_G.copy()
        row[column] = choice
        made.append(row)
    return made


def _other_choices(space: SearchSpace, row_G: IntArray, column: int) -> list[IntArray]:
    made = []
    for choice in range(len(space.genes[column].choices)):
        if choice != row_G[column]:
            row = row_G.copy()
            row[column] = choice
            made.append(row)
    return made


def _without_a_layer(space: SearchSpace, row_G: IntArray, stage: int) -> list[IntArray]:
    """The next smaller depth, each layer (or run of layers) gone in turn, the last one last."""
    column = space.layout.stage_start[stage] + DEPTH
    if row_G[column] == 0:
        return []
    depths = space.spec.stages[stage].depth
    gone = depths[row_G[column]] - depths[row_G[column] - 1]
    made = []
    for first in range(depths[row_G[column]] - gone + 1):
        row = row_G.copy()
        row[column] -= 1
        layers_LK = _layers(space, row, stage)
        layers_LK[:-gone] = np.delete(layers_LK, slice(first, first + gone), axis=0)
        made.append(row)
    return made


def _with_a_layer(space: SearchSpace, row_G: IntArray, stage: int) -> list[IntArray]:
    column = space.layout.stage_start[stage] + DEPTH
    depths = space.spec.stages[stage].depth
    if row_G[column] + 1 >= len(depths):
        return []
    row = row_G.copy()
    row[column] += 1
    layers_LK, last = _layers(space, row, stage), depths[row_G[column]]
    layers_LK[last : depths[row[column]]] = layers_LK[last - 1]
    return [row]


def _layers(space: SearchSpace, row_G: IntArray, stage: int) -> IntArray:
    """A stage's layer genes as ``(L, 4)``, a view into the row."""
    first = space.layout.layer_start(stage, 0)
    count = max(space.spec.stages[stage].depth)
    return row_G[first : first + count * len(LAYER_GENES)].reshape(count, len(LAYER_GENES))


def _legal(space: SearchSpace, row_G: IntArray, made: list[IntArray]) -> IntArray:
    if not made:
        return np.zeros((0, len(row_G)), dtype=np.int64)
    rows = distinct(space.repair(np.stack(made))[0])
    kept: IntArray = rows[(rows != row_G).any(axis=1)]
    return kept
