"""New candidates: at random, and as children of known ones. Legal, canonical, not seen before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nas.proposing.history import History
from search_spaces.automaton import IntArray
from search_spaces.space import SearchSpace

ATTEMPTS = 20


def cross(
    space: SearchSpace,
    a_BG: IntArray,
    b_BG: IntArray,
    rng: np.random.Generator,
    swapping_prob: float = 0.5,
) -> IntArray:
    """Children that take whole parts from the second parent, each with ``swapping_prob``.

    A part is what belongs together: patch, embedding and position; a stage's transition, width and
    depth; a layer. Half of the children swap single genes inside the parts too.
    """
    part_G = parts(space)
    swap_BP = rng.random((len(a_BG), part_G.max() + 1)) < swapping_prob
    fine_BG = rng.random(a_BG.shape) < swapping_prob
    swap_BG = np.where(rng.random((len(a_BG), 1)) < 0.5, fine_BG, swap_BP[:, part_G])
    return space.repair(np.where(swap_BG, b_BG, a_BG))[0]


def parts(space: SearchSpace) -> IntArray:
    """Number of the part that each gene belongs to, ``(G,)``."""
    names = [gene.name.rpartition(".")[0] for gene in space.genes]
    order = list(dict.fromkeys(names))
    return np.array([order.index(name) for name in names], dtype=np.int64)


def mutate(
    space: SearchSpace, genes_BG: IntArray, rng: np.random.Generator, rate: float
) -> IntArray:
    """Each gene changed with probability ``rate``, at least one of every row.

    Ordered genes move one step half of the time: neighbours in size are neighbours in accuracy.
    """
    choices_G = np.array([len(gene.choices) for gene in space.genes])
    ordered_G = np.array([gene.ordered for gene in space.genes])
    open_G = np.flatnonzero(choices_G > 1)
    if not len(open_G):
        return genes_BG
    mask_BG = rng.random(genes_BG.shape) < rate
    mask_BG[np.arange(len(genes_BG)), rng.choice(open_G, len(genes_BG))] = True
    # A jump to another choice, each alike; a gene with one choice stays.
    alive_BG = enlivened(space, genes_BG, rng)
    jump_BG = 1 + np.floor(rng.random(genes_BG.shape) * np.maximum(choices_G - 1, 0)).astype(int)
    jumped_BG = (alive_BG + np.where(choices_G > 1, jump_BG, 0)) % choices_G
    step_BG = np.clip(alive_BG + rng.choice([-1, 1], genes_BG.shape), 0, choices_G - 1)
    small_BG = ordered_G & (rng.random(genes_BG.shape) < 0.5)
    changed_BG = np.where(small_BG, step_BG, jumped_BG)
    return space.repair(np.where(mask_BG, changed_BG, alive_BG))[0]


def enlivened(space: SearchSpace, genes_BG: IntArray, rng: np.random.Generator) -> IntArray:
    """The same architectures with genes that have no effect drawn at random instead of 0.

    So that a layer which comes into being is like no other rather than the first of all choices.
    """
    choices_G = np.array([len(gene.choices) for gene in space.genes])
    drawn_BG = np.floor(rng.random(genes_BG.shape) * choices_G).astype(np.int64)
    return np.where(space.codec.active_rows(genes_BG), genes_BG, drawn_BG)


def fresh_rows(
    history: History,
    count: int,
    draw: Callable[[int], IntArray],
    taken_BG: IntArray | None = None,
) -> IntArray:
    """``count`` rows of ``draw`` that are new to the study and to ``taken_BG``.

    Where nothing new is found any more, the rest are rows that are known: they cost nothing.

    Args:
        history: what the study knows.
        count: rows wanted.
        draw: makes legal rows, about as many as it is asked for.
        taken_BG: rows that were proposed in this batch.
    """
    none = np.zeros((0, len(history.question.space.genes)), dtype=np.int64)
    taken = none if taken_BG is None else taken_BG
    found, spare = none, none
    for _ in range(ATTEMPTS):
        if len(found) == count:
            break
        drawn = draw(max(count, 8))
        if not len(drawn):
            continue
        spare = drawn
        before = np.concatenate([taken, found])
        new = history.unseen(np.concatenate([before, drawn]))[len(before) :]
        found = np.concatenate([found, drawn[new]])[:count]
    missing = count - len(found)
    if missing and len(spare):
        found = np.concatenate([found, spare[np.arange(missing) % len(spare)]])
    return found


def random_rows(
    history: History, count: int, rng: np.random.Generator, taken_BG: IntArray | None = None
) -> IntArray:
    """New rows, uniform per gene."""
    space = history.question.space
    return fresh_rows(history, count, lambda n: space.sample_genes(rng, n), taken_BG)
