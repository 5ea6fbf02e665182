"""Whole gene matrices along the automaton: sampling, repair, token counts.

Shapes: B candidates, G genes, L layers of all stages (the deepest), A attentions, R reductions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from search_spaces.automaton import DEAD, Automaton, BoolArray, IntArray
from search_spaces.card import Cards
from search_spaces.genes import GeneLayout
from search_spaces.spec import SpaceSpec, StageSpec

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trace:
    """Where every layer of every candidate stands in the automaton.

    Attributes:
        start_B: node in front of the first layer.
        entered: per stage, node behind its transition, ``(B,)``.
        before: per stage, node in front of each layer, ``(B, layers)``; ``DEAD`` if inactive.
        after: per stage, node behind each layer, ``(B, layers)``; ``DEAD`` if inactive.
    """

    start_B: IntArray
    entered: tuple[IntArray, ...]
    before: tuple[IntArray, ...]
    after: tuple[IntArray, ...]


def pick(mask_BK: BoolArray, rng: np.random.Generator) -> IntArray:
    """A uniformly drawn True column of each row."""
    keys = np.where(mask_BK, rng.random(mask_BK.shape), -1.0)
    chosen: IntArray = keys.argmax(axis=1)
    return chosen


class Walker:
    """Vectorised walks over one automaton."""

    def __init__(self, layout: GeneLayout, automaton: Automaton, cards: Cards) -> None:
        self.layout = layout
        self.automaton = automaton
        self.cards = cards
        self.spec: SpaceSpec = layout.spec
        self._nearest = lru_cache(maxsize=None)(self._nearest_tables)
        self._nearest_entry = lru_cache(maxsize=None)(self._nearest_entries)

    @cached_property
    def _has_heads(self) -> tuple[BoolArray, ...]:
        return tuple(
            np.array([self.cards.attention[a.op].has_heads for a in stage.attention])
            for stage in self.spec.stages
        )

    def feasible(self, stage: int, to_come: int) -> BoolArray:
        """Letters (nodes, A, R) that are legal and leave a way to finish ``to_come`` layers."""
        steps = self.automaton.steps[stage]
        ahead = np.append(self.automaton.walkable[stage][to_come], False)
        return ahead[steps]

    def enterable(self, stage: int) -> BoolArray:
        """(nodes, depths): whether a stage of this depth can be walked from the node."""
        walkable = self.automaton.walkable[stage]
        return np.stack([walkable[depth] for depth in self.spec.stages[stage].depth], axis=1)

    def sample(self, rng: np.random.Generator, count: int) -> IntArray:
        """Legal genes ``(count, G)``, uniform per gene among the choices that can be finished."""
        genes = np.stack(
            [rng.integers(len(g.choices), size=count) for g in self.layout.genes], axis=1
        )
        return self._walk(genes, rng)[0]

    def repair(self, genes_BG: IntArray) -> tuple[IntArray, Trace]:
        """The nearest legal genes, canonical (genes without effect are 0), and their trace."""
        return self._walk(genes_BG, None)

    def trace(self, genes_BG: IntArray) -> Trace:
        """Where legal canonical genes stand: look-ups alone, nothing is searched for."""
        start = node = self.automaton.start[genes_BG[:, 0], genes_BG[:, 1], genes_BG[:, 2]]
        entered, before, after = [], [], []
        for number, stage in enumerate(self.spec.stages):
            column = self.layout.stage_start[number]
            node = self.automaton.crossings[number][node, genes_BG[:, column]]
            entered.append(node)
            depth = np.array(stage.depth)[genes_BG[:, column + 2]]
            stage_before = np.full((len(genes_BG), max(stage.depth)), DEAD, dtype=np.int64)
            stage_after = stage_before.copy()
            steps = self.automaton.steps[number]
            for layer in range(max(stage.depth)):
                active, at = layer < depth, self.layout.layer_start(number, layer)
                np.copyto(stage_before[:, layer], node, where=active)
                ahead = steps[node, genes_BG[:, at], genes_BG[:, at + 3]]
                np.copyto(stage_after[:, layer], ahead, where=active)
                node = np.where(active, ahead, node)
            before.append(stage_before)
            after.append(stage_after)
        return Trace(start, tuple(entered), tuple(before), tuple(after))

    def _walk(self, genes_BG: IntArray, rng: np.random.Generator | None) -> tuple[IntArray, Trace]:
        genes = genes_BG.copy()
        start = self._start(genes, rng)
        node = start
        entered, before, after = [], [], []
        for number, stage in enumerate(self.spec.stages):
            column = self.layout.stage_start[number]
            node = self._enter(genes, number, node, rng)
            entered.append(node)
            depth = np.array(stage.depth)[genes[:, column + 2]]
            stage_before, stage_after = [], []
            for layer in range(max(stage.depth)):
                stage_before.append(np.where(layer < depth, node, DEAD))
                node = self._layer(genes, number, layer, node, depth, rng)
                stage_after.append(np.where(layer < depth, node, DEAD))
            before.append(np.stack(stage_before, axis=1))
            after.append(np.stack(stage_after, axis=1))
        return genes, Trace(start, tuple(entered), tuple(before), tuple(after))

    def _start(self, genes: IntArray, rng: np.random.Generator | None) -> IntArray:
        if rng is None:
            genes[:, :3] = self._nearest_start[genes[:, 0], genes[:, 1], genes[:, 2]]
        else:
            self._settle_start(genes, rng)
        return self.automaton.start[genes[:, 0], genes[:, 1], genes[:, 2]]

    @cached_property
    def _nearest_start(self) -> IntArray:
        """(patches, embeddings, positions) → the three nearest that can be walked from."""
        shape = self.automaton.start.shape
        genes = np.indices(shape).reshape(3, -1).T.copy()
        self._settle_start(genes, None)
        return genes.reshape(*shape, 3)

    def _settle_start(self, genes: IntArray, rng: np.random.Generator | None) -> None:
        start = self.automaton.start
        entry = np.append(self.enterable(0).any(axis=1), False)
        open_PEQ = entry[start]
        for axis in range(3):
            chosen = tuple(genes[:, a] for a in range(axis))
            rest = tuple(range(axis + 1, 3))
            open_here = np.asarray(open_PEQ.any(axis=rest) if rest else open_PEQ)
            mask = open_here[chosen] if axis else open_here[None]
            mask = np.broadcast_to(mask, (len(genes), mask.shape[-1]))
            genes[:, axis] = _settle(genes[:, axis], mask, rng)

    def _enter(
        self, genes: IntArray, number: int, node: IntArray, rng: np.random.Generator | None
    ) -> IntArray:
        column, crossing = self.layout.stage_start[number], self.automaton.crossings[number]
        if rng is None:
            pairs = self._nearest_entry(number)[node, genes[:, column], genes[:, column + 2]]
            genes[:, column], genes[:, column + 2] = pairs.T
            return crossing[node, genes[:, column]]
        genes[:, column], genes[:, column + 2] = self._settle_entry(
            number, node, genes[:, column], genes[:, column + 2], rng
        )
        return crossing[node, genes[:, column]]

    def _nearest_entries(self, number: int) -> IntArray:
        """(nodes, transitions, depths) → the nearest (transition, depth) that can be walked."""
        stage = self.spec.stages[number]
        shape = len(self.automaton.nodes), len(stage.transition), len(stage.depth)
        node, transition, depth = np.indices(shape).reshape(3, -1)
        settled = self._settle_entry(number, node, transition, depth, None)
        return np.stack(settled, axis=-1).reshape(*shape, 2)

    def _settle_entry(
        self,
        number: int,
        node: IntArray,
        transition: IntArray,
        depth: IntArray,
        rng: np.random.Generator | None,
    ) -> tuple[IntArray, IntArray]:
        crossing = self.automaton.crossings[number]
        enterable = self.enterable(number)
        open_ST = np.append(enterable.any(axis=1), False)[crossing]
        transition = _settle(transition, open_ST[node], rng)
        return transition, _settle(depth, enterable[crossing[node, transition]], rng)

    def _layer(
        self,
        genes: IntArray,
        number: int,
        layer: int,
        node: IntArray,
        depth: IntArray,
        rng: np.random.Generator | None,
    ) -> IntArray:
        column = self.layout.layer_start(number, layer)
        active = layer < depth
        to_come = np.maximum(depth - layer - 1, 0)
        attention, reduction = genes[:, column].copy(), genes[:, column + 3].copy()
        if rng is None:
            letter = self._nearest(number)[to_come, node, attention, reduction]
            count = len(self.spec.stages[number].reduction)
            nearest_attention, nearest_reduction = np.divmod(letter, count)
            attention = np.where(active, nearest_attention, attention)
            reduction = np.where(active, nearest_reduction, reduction)
        else:
            for rest in np.unique(to_come[active]):
                rows = np.flatnonzero(active & (to_come == rest))
                mask_BAR = self.feasible(number, int(rest))[node[rows]]
                attention[rows] = pick(np.asarray(mask_BAR.any(axis=2)), rng)
                reduction[rows] = pick(mask_BAR[np.arange(len(rows)), attention[rows]], rng)
        genes[:, column] = np.where(active, attention, 0)
        genes[:, column + 3] = np.where(active, reduction, 0)
        genes[:, column + 1] *= active & self._has_heads[number][attention]
        genes[:, column + 2] *= active
        ahead = self.automaton.steps[number][node, attention, reduction]
        behind: IntArray = np.where(active, ahead, node)
        return behind

    def _nearest_tables(self, number: int) -> IntArray:
        """(layers to come, nodes, A, R) → the feasible letter nearest to the one asked for."""
        layers = range(max(self.spec.stages[number].depth))
        return np.stack([self._nearest_table(number, to_come) for to_come in layers])

    def _nearest_table(self, number: int, to_come: int) -> IntArray:
        stage = self.spec.stages[number]
        feasible = self.feasible(number, to_come)
        count, letters = len(feasible), len(stage.attention) * len(stage.reduction)
        distance = _letter_distance(stage)
        nearest = np.full((count, letters), DEAD, dtype=np.int64)
        for node in np.flatnonzero(feasible.any(axis=(1, 2))):
            open_letters = feasible[node].ravel()
            nearest[node] = np.where(open_letters, distance, np.inf).argmin(axis=1)
        return nearest.reshape(count, len(stage.attention), len(stage.reduction))


def _settle(wanted_B: IntArray, mask_BK: BoolArray, rng: np.random.Generator | None) -> IntArray:
    """The wanted choice where it is open, else the nearest open index; drawn if sampling."""
    if rng is not None:
        return pick(mask_BK, rng)
    distance = np.abs(np.arange(mask_BK.shape[1])[None] - wanted_B[:, None]).astype(float)
    settled: IntArray = np.where(mask_BK, distance, np.inf).argmin(axis=1)
    return settled


def _letter_distance(stage: StageSpec) -> FloatArray:
    """How far apart two letters are: a changed reduction weighs less than a changed attention."""
    attention = np.array(
        [
            [
                0.0 if a == b else (10.0 if a.op == b.op else 20.0) + 0.1 * j
                for j, b in enumerate(stage.attention)
            ]
            for a in stage.attention
        ]
    )
    reduction = np.array(
        [
            [
                _reduction_distance(a.op, b.op, a == b) + 0.01 * j
                for j, b in enumerate(stage.reduction)
            ]
            for a in stage.reduction
        ]
    )
    pairs = attention[:, None, :, None] + reduction[None, :, None, :]
    size = len(stage.attention) * len(stage.reduction)
    table: FloatArray = pairs.reshape(size, size)
    return table


def _reduction_distance(asked: str, offered: str, same: bool) -> float:
    if same:
        return 0.0
    if asked == offered:
        return 1.0
    return 2.0 if offered == "none" else 3.0
