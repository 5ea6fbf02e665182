"""Evolutions with published settings: AutoFormer's, and the ageing one of Real et al."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from nas.proposing.drawing import enlivened, fresh_rows, mutate
from nas.proposing.filling import Draw, anywhere, drawn
from nas.proposing.history import History
from nas.proposing.worth import inside, order_of
from search_spaces.automaton import IntArray
from search_spaces.genes import LAYER_GENES
from search_spaces.space import SearchSpace


class Settings(Protocol):
    """Of AutoFormer's evolution; see the sampler."""

    @property
    def population_size(self) -> int: ...
    @property
    def parents(self) -> int: ...
    @property
    def mutations(self) -> int: ...
    @property
    def crossovers(self) -> int: ...
    @property
    def layer_prob(self) -> float: ...
    @property
    def stage_prob(self) -> float: ...


def autoformer_rows(
    history: History, count: int, rng: np.random.Generator, settings: Settings
) -> IntArray:
    """A batch of AutoFormer's evolution; generations need not end with batches."""
    made = np.zeros((0, len(history.question.space.genes)), dtype=np.int64)
    places = len(history) + np.arange(count)
    kinds = [_kind(int(place), settings) for place in places]
    for kind in dict.fromkeys(kinds):
        draw = _draw(history, kind, rng, settings)
        rows = drawn(history, kinds.count(kind), draw, rng, made)
        made = np.concatenate([made, rows])
    return made


def _kind(place: int, settings: Settings) -> tuple[int, str]:
    """Generation and operator of a trial, by how many are complete before it."""
    generation, within = divmod(place, settings.population_size)
    if generation == 0 or within >= settings.mutations + settings.crossovers:
        return generation, "random"
    return generation, "mutation" if within < settings.mutations else "crossover"


def _draw(
    history: History, kind: tuple[int, str], rng: np.random.Generator, settings: Settings
) -> Draw:
    generation, operator = kind
    before = min(generation * settings.population_size, len(history))
    if operator == "random" or not before:
        return anywhere(history, rng)
    best = history.genes_NG[order_of(history, slice(before))[: settings.parents]]
    space = history.question.space

    def draw(count: int) -> IntArray:
        many = max(count, 32)
        if operator == "mutation":
            chosen = best[rng.integers(len(best), size=many)]
            return inside(history.question, redrawn(space, chosen, rng, settings))
        return inside(history.question, crossed(space, best, many, rng))

    return draw


def redrawn(
    space: SearchSpace, genes_BG: IntArray, rng: np.random.Generator, settings: Settings
) -> IntArray:
    """Mutants: genes of layers redrawn with one probability, all others with another."""
    layer_G = np.array([gene.name.rpartition(".")[2] in LAYER_GENES for gene in space.genes])
    rate_G = np.where(layer_G, settings.layer_prob, settings.stage_prob)
    fresh_BG = np.stack([rng.integers(len(g.choices), size=len(genes_BG)) for g in space.genes], 1)
    alive_BG = enlivened(space, genes_BG, rng)
    mask_BG = rng.random(genes_BG.shape) < rate_G
    return space.repair(np.where(mask_BG, fresh_BG, alive_BG))[0]


def crossed(
    space: SearchSpace, parents_PG: IntArray, count: int, rng: np.random.Generator
) -> IntArray:
    """Children with every gene from either of two parents of equal depth."""
    depths = [i for i, gene in enumerate(space.genes) if gene.name.endswith(".depth")]
    first = rng.integers(len(parents_PG), size=count)
    alike_PP = (parents_PG[:, None, depths] == parents_PG[None, :, depths]).all(axis=2)
    second = np.array([rng.choice(np.flatnonzero(alike_PP[parent])) for parent in first])
    return space.crossover(parents_PG[first], parents_PG[second], rng)


def ageing_rows(
    history: History, count: int, rng: np.random.Generator, population_size: int, sample_size: int
) -> IntArray:
    """A batch of regularised evolution: children of tournaments among the newest trials."""
    random = min(max(population_size - len(history), 0), count)
    made = fresh_rows(history, random, anywhere(history, rng))
    if random == count:
        return made
    newest = slice(max(len(history) - population_size, 0), None)
    order_P = order_of(history, newest)
    size = min(sample_size, len(order_P))
    question = history.question

    def draw(many: int) -> IntArray:
        winners = [rng.permutation(len(order_P))[:size].min() for _ in range(max(many, 32))]
        alive = enlivened(question.space, history.genes_NG[order_P[winners]], rng)
        return inside(question, mutate(question.space, alive, rng, 0.0))

    return np.concatenate([made, drawn(history, count - random, draw, rng, made)])
