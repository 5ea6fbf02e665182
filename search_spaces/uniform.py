"""Draws that are uniform over architectures, by counting the ways to finish.

Exact in integers of any size, one architecture at a time; `walk` draws whole batches instead,
uniform per gene.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from search_spaces.automaton import DEAD, Automaton, IntArray
from search_spaces.card import Cards
from search_spaces.genes import GeneLayout


class UniformSampler:
    """Draws every legal architecture with equal probability."""

    def __init__(self, layout: GeneLayout, automaton: Automaton, cards: Cards) -> None:
        self.layout = layout
        self.automaton = automaton
        self.cards = cards
        self.stages = layout.spec.stages

    def draw(self, rng: random.Random) -> IntArray:
        """A gene row drawn with equal probability for every architecture (by counting ways)."""
        row = np.zeros(len(self.layout.genes), dtype=np.int64)
        starts, enter = [], self._entering(0)
        for place in np.ndindex(*self.automaton.start.shape):
            node = int(self.automaton.start[place])
            if node != DEAD:
                starts.append((enter[node], place, node))
        place, node = _weighted(rng, starts)
        row[:3] = place
        for number in range(len(self.stages)):
            node = self._draw_stage(rng, row, number, node)
        return row

    def _entering(self, number: int) -> Any:
        stage = self.stages[number]
        return sum(self.automaton.ways[number][depth] for depth in stage.depth)

    def _draw_stage(self, rng: random.Random, row: IntArray, number: int, node: int) -> int:
        stage, column = self.stages[number], self.layout.stage_start[number]
        ways, enter = self.automaton.ways[number], self._entering(number)
        targets = self.automaton.crossings[number][node]
        row[column], node = _weighted(
            rng, [(enter[n], t, int(n)) for t, n in enumerate(targets) if n != DEAD]
        )
        row[column + 1] = rng.randrange(len(stage.width))
        row[column + 2], depth = _weighted(
            rng, [(ways[d][node], i, d) for i, d in enumerate(stage.depth)]
        )
        for layer in range(depth):
            node = self._draw_layer(rng, row, number, layer, depth - layer - 1, node)
        return node

    def _draw_layer(
        self, rng: random.Random, row: IntArray, number: int, layer: int, to_come: int, node: int
    ) -> int:
        stage, start = self.stages[number], self.layout.layer_start(number, layer)
        ways, options = self.automaton.ways[number][to_come], []
        for a, attention in enumerate(stage.attention):
            heads = len(stage.heads) if self.cards.attention[attention.op].has_heads else 1
            for r in range(len(stage.reduction)):
                ahead = int(self.automaton.steps[number][node, a, r])
                if ahead != DEAD:
                    options.append((ways[ahead] * heads, (a, r, heads), ahead))
        (a, r, heads), node = _weighted(rng, options)
        row[start : start + 4] = (
            a,
            rng.randrange(heads),
            rng.randrange(len(stage.mlp_ratio)),
            r,
        )
        return node


def _weighted(rng: random.Random, options: list[tuple[Any, Any, Any]]) -> tuple[Any, Any]:
    """Draw ``(choice, payload)`` with probability proportional to an exact integer weight."""
    mark = rng.randrange(int(sum(weight for weight, _, _ in options)))
    for weight, choice, payload in options:
        mark -= weight
        if mark < 0:
            return choice, payload
    raise AssertionError("weights sum to more than the mark")
