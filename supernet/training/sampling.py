"""Which members a training step runs: the sandwich, with operator types in balanced rounds.

A sandwich step (BigNAS, §3.2) runs the largest member, the smallest, and a few random ones. What
is random here is balanced: per layer, every attention type (and every reduction type) gets the
same share of updates out of the draws in which it was legal there. A uniform draw would not: types
that need a grid are legal less often and would be trained less even where they are legal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from search_spaces.architecture import Architecture, OpSetting
from search_spaces.automaton import DEAD, BoolArray, IntArray
from search_spaces.space import SearchSpace
from search_spaces.walk import FloatArray


@dataclass(frozen=True, slots=True)
class Sandwich:
    """The members of one step.

    Attributes:
        teacher: largest in the ordered genes, plain operators; it learns from the labels.
        students: the smallest, then the random ones; they learn from the teacher.
    """

    teacher: Architecture
    students: tuple[Architecture, ...]


class Rounds:
    """Draws one of several kinds so that updates / legal draws are equal for all of them.

    Each draw takes the legal kind that is most behind: the smallest ratio, ties at random. Kinds
    are first operator types, then the settings of the type that was drawn. Where one kind alone is
    legal nothing is drawn, and nothing is counted: ``none`` is forced so often, where too few
    tokens are left to reduce, that it would never again come up in a real draw.
    """

    def __init__(self, settings: tuple[OpSetting, ...]) -> None:
        names = list(dict.fromkeys(setting.op for setting in settings))
        self.type_of = np.array([names.index(setting.op) for setting in settings])
        self.types = len(names)
        self.updates = np.zeros((2, max(len(settings), self.types)))
        self.legal = np.zeros_like(self.updates)

    def draw(self, legal: BoolArray, rng: np.random.Generator) -> int:
        """The index of the setting drawn among the legal ones."""
        open_types = np.zeros(self.types, dtype=bool)
        open_types[self.type_of[legal]] = True
        kind = self._draw(0, open_types, rng)
        return self._draw(1, legal & (self.type_of == kind), rng)

    def _draw(self, level: int, legal: BoolArray, rng: np.random.Generator) -> int:
        indices = np.flatnonzero(legal)
        if len(indices) == 1:
            return int(indices[0])
        self.legal[level, indices] += 1
        share = self.updates[level, indices] / self.legal[level, indices]
        behind = indices[share <= share.min() + 1e-12]
        chosen = int(rng.choice(behind))
        self.updates[level, chosen] += 1
        return chosen

    def shares(self) -> FloatArray:
        """Updates divided by legal draws, per type; NaN where never legal."""
        with np.errstate(invalid="ignore"):
            return (self.updates / self.legal)[0, : self.types]


class MemberSampler:
    """Draws the members of each step. Its counts are part of a checkpoint.

    Args:
        space: the space.
        seed: with the step, decides every draw.
        random_members: how many random members a step has.
    """

    def __init__(self, space: SearchSpace, seed: int, random_members: int) -> None:
        self.space = space
        self.seed = seed
        self.random_members = random_members
        self.teacher = space.largest()
        self.smallest = space.smallest()
        self.patches = Rounds(tuple(OpSetting.of(f"p{p}") for p in space.spec.patch_size))
        self.attention: list[list[Rounds]] = []
        self.reduction: list[list[Rounds]] = []
        for stage in space.spec.stages:
            depth = max(stage.depth)
            self.attention.append([Rounds(stage.attention) for _ in range(depth)])
            self.reduction.append([Rounds(stage.reduction) for _ in range(depth)])

    def draw(self, step: int) -> Sandwich:
        """The members of a step; a function of the seed, the step and the counts so far."""
        rng = np.random.default_rng([self.seed, step])
        students = [self.smallest]
        students += [self.space.decode(self._member(rng)) for _ in range(self.random_members)]
        return Sandwich(self.teacher, tuple(students))

    def state(self) -> dict[str, Any]:
        """The counts, as plain data."""
        return {"rounds": [[r.updates.tolist(), r.legal.tolist()] for r in self._all_rounds()]}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from counts that ``state`` gave."""
        for rounds, (updates, legal) in zip(self._all_rounds(), state["rounds"], strict=True):
            rounds.updates = np.array(updates)
            rounds.legal = np.array(legal)

    def _all_rounds(self) -> list[Rounds]:
        found = [self.patches]
        for kind in (self.attention, self.reduction):
            found += [rounds for stage in kind for rounds in stage]
        return found

    def _member(self, rng: np.random.Generator) -> IntArray:
        """Genes of one random member: sizes uniform, operator types in balanced rounds."""
        row = self.space.sample_genes(rng, 1)[0]
        start = self.space.automaton.start
        open_patches = (start != DEAD).any(axis=(1, 2)) & np.array(
            [self._startable(patch) for patch in range(len(start))]
        )
        row[0] = self.patches.draw(open_patches, rng)
        row = self.space.repair(row[None])[0][0]
        node = int(start[row[0], row[1], row[2]])
        for number in range(len(self.space.spec.stages)):
            node = self._stage(row, number, node, rng)
        legal: IntArray = self.space.repair(row[None])[0][0]
        return legal

    def _startable(self, patch: int) -> bool:
        entry = np.append(self.space.walker.enterable(0).any(axis=1), False)
        return bool(entry[self.space.automaton.start[patch]].any())

    def _stage(self, row: IntArray, number: int, node: int, rng: np.random.Generator) -> int:
        space, stage = self.space, self.space.spec.stages[number]
        column = space.layout.stage_start[number]
        node = int(space.automaton.crossings[number][node, row[column]])
        depths = np.flatnonzero(space.walker.enterable(number)[node])
        row[column + 2] = rng.choice(depths)
        depth = stage.depth[row[column + 2]]
        for layer in range(depth):
            feasible = space.walker.feasible(number, depth - layer - 1)[node]
            attention = self.attention[number][layer].draw(feasible.any(axis=1), rng)
            reduction = self.reduction[number][layer].draw(feasible[attention], rng)
            place = space.layout.layer_start(number, layer)
            row[place] = attention
            row[place + 1] = rng.integers(len(stage.heads))
            row[place + 2] = rng.integers(len(stage.mlp_ratio))
            row[place + 3] = reduction
            node = int(space.automaton.steps[number][node, attention, reduction])
        return node
