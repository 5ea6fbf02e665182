"""The legality walk of a space, compiled to tables.

Between two layers the walk knows only a *node*: the geometry of the tokens, whether anything has
mixed them in this stage, and whether the position operator still waits for its place. Nodes are
few, so they are enumerated once by asking the cards; legality, repair, exact counting and uniform
sampling of whole batches are then look-ups.

A *letter* is what a layer chooses that matters to the walk: (attention, reduction).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from search_spaces.architecture import NONE, Architecture, OpSetting
from search_spaces.card import AttentionCard, Cards, Geometry, ReductionCard
from search_spaces.spec import SpaceSpec, StageSpec

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
DEAD = -1


class WalkRules(Protocol):
    """What the walk asks of a space, or of the builder of a single architecture."""

    @property
    def image_size(self) -> tuple[int, int]: ...
    @property
    def special_tokens(self) -> int: ...
    @property
    def min_tokens(self) -> int: ...
    @property
    def pad(self) -> bool: ...
    @property
    def excluded(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleRules:
    """The rules for one architecture that stands in no space: whatever can run is legal."""

    image_size: tuple[int, int]
    special_tokens: int
    min_tokens: int = 1
    pad: bool = True
    excluded: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Node:
    """What the walk knows between two layers.

    Attributes:
        geometry: of the tokens.
        mixed: whether anything has passed information between tokens in this stage.
        position_in: in how many layers the position operator acts; -1 where it has acted.
        inside: the position, where it acts inside of every attention.
    """

    geometry: Geometry
    mixed: bool = False
    position_in: int = -1
    inside: OpSetting | None = None


def start_node(
    spec: WalkRules, cards: Cards, patch: int, embedding: OpSetting, position: OpSetting
) -> Node | str:
    """The node in front of the first layer, or why there is none."""
    card = cards.embedding[embedding.op]
    grid = card.grid(spec.image_size, patch, embedding)
    if grid is None:
        fits = all(side % patch == 0 for side in spec.image_size)
        if fits or not spec.pad:
            return f"patch_size={patch} does not divide image_size={list(spec.image_size)}"
        grid = (-(-spec.image_size[0] // patch), -(-spec.image_size[1] // patch))
    if grid[0] * grid[1] < spec.min_tokens:
        return f"patch_size={patch} leaves {grid[0] * grid[1]} tokens, under {spec.min_tokens}"
    geometry = Geometry(grid[0] * grid[1], grid, spec.special_tokens)
    place = cards.position[position.op]
    reason = place.rejects(geometry, position)
    if reason is not None:
        return f"position {position}: {reason}"
    inside = position if place.inside is not None else None
    return Node(geometry, position_in=place.after_block, inside=inside)


def step(
    spec: WalkRules,
    cards: Cards,
    node: Node,
    attention: OpSetting,
    reduction: OpSetting,
    position: OpSetting,
) -> Node | str:
    """The node behind one layer, or why the layer is illegal here."""
    for setting in (attention, reduction):
        if setting.op in spec.excluded:
            return f"{setting}: {spec.excluded[setting.op]}"
    mixer, reducer = cards.attention[attention.op], cards.reduction[reduction.op]
    geometry = node.geometry
    if reducer.hook == "before_attention":
        reduced = _reduce(spec, cards, geometry, reduction)
        if isinstance(reduced, str):
            return reduced
        geometry = reduced
    reason = _why_not_inside(node, geometry, attention, mixer, reducer)
    if reason is not None:
        return reason
    if mixer.needs_grid and geometry.grid is None:
        return f"attention {attention} needs a grid, and a reduction before it has dissolved it"
    reason = mixer.rejects(geometry, attention)
    if reason is not None:
        return f"attention {attention}: {reason}"
    if reducer.hook != "before_attention":
        reduced = _reduce(spec, cards, geometry, reduction)
        if isinstance(reduced, str):
            return reduced
        geometry = reduced
    if node.position_in == 0 and cards.position[position.op].needs_grid and geometry.grid is None:
        return f"position {position} behind this layer needs a grid, and {reduction} dissolves it"
    behind, mixed = max(node.position_in - 1, -1), node.mixed or mixer.mixes
    return Node(geometry, mixed, behind, node.inside)


def _why_not_inside(
    node: Node,
    geometry: Geometry,
    attention: OpSetting,
    mixer: AttentionCard,
    reducer: ReductionCard,
) -> str | None:
    """Why a position that acts inside of attention forbids this layer, or None."""
    if node.inside is None or mixer.identity:
        return None
    if not mixer.relative:
        return f"attention {attention} cannot read the position {node.inside}"
    if geometry.grid is None:
        return f"position {node.inside} needs a grid, and a reduction before has dissolved it"
    if reducer.wants:
        return f"reduction {reducer.name} scores tokens without the position {node.inside}"
    return None


def _reduce(
    spec: WalkRules, cards: Cards, geometry: Geometry, setting: OpSetting
) -> Geometry | str:
    card = cards.reduction[setting.op]
    if geometry.ragged and setting.op != "none":
        return f"reduction {setting}: images have different numbers of tokens here"
    reason = card.rejects(geometry, setting)
    if reason is not None:
        return f"reduction {setting}: {reason}"
    after = replace(card.after(geometry, setting), ragged=geometry.ragged or card.varies)
    if after.tokens < spec.min_tokens and after.tokens < geometry.tokens:
        return f"reduction {setting} leaves {after.tokens} tokens, under {spec.min_tokens}"
    return after


def walk(rules: WalkRules, cards: Cards, architecture: Architecture) -> list[Node] | str:
    """The nodes of one architecture, or why it is illegal.

    Returns:
        Per stage the node behind its transition, then the node behind each layer, flattened.
    """
    position = architecture.position
    node = start_node(rules, cards, architecture.patch_size, architecture.embedding, position)
    if isinstance(node, str):
        return node
    nodes = []
    for number, stage in enumerate(architecture.stages):
        if number:
            crossed = cross(cards, node, stage.transition)
            if isinstance(crossed, str):
                return f"stage {number}: {crossed}"
            node = crossed
        nodes.append(node)
        for layer, block in enumerate(stage.blocks):
            after = step(rules, cards, node, block.attention, block.reduction, position)
            if isinstance(after, str):
                return f"stage {number}, layer {layer}: {after}"
            node = after
            nodes.append(node)
        if not node.mixed:
            return f"stage {number}: no layer passes information between tokens"
    return nodes


def cross(cards: Cards, node: Node, transition: OpSetting) -> Node | str:
    """The node behind the transition into the next stage, or why it is illegal."""
    card = cards.transition[transition.op]
    reason = card.rejects(node.geometry, transition)
    if reason is not None:
        return f"transition {transition}: {reason}"
    return replace(node, geometry=card.after(node.geometry, transition), mixed=card.mixes)


@dataclass(frozen=True)
class Automaton:
    """The tables of a space.

    Attributes:
        nodes: all nodes that can be reached, indexed as in the tables.
        start: (patches, embeddings, positions) → node, ``DEAD`` where illegal.
        steps: per stage (nodes, attentions, reductions) → node, ``DEAD`` where illegal.
        crossings: per stage (nodes, transitions) → node; the first stage's is the identity.
        ways: per stage and layers still to come, (nodes,) → number of ways to finish from here.
            Python ints: spaces hold more architectures than 64 bits count.
        walkable: the same as booleans, ``(layers to come, nodes)`` per stage.
    """

    nodes: tuple[Node, ...]
    start: IntArray
    steps: tuple[IntArray, ...]
    crossings: tuple[IntArray, ...]
    ways: tuple[npt.NDArray[Any], ...]
    walkable: tuple[BoolArray, ...]

    @property
    def tokens(self) -> IntArray:
        """Patch tokens at each node."""
        return np.array([node.geometry.tokens for node in self.nodes], dtype=np.int64)


def compile_automaton(spec: SpaceSpec, cards: Cards) -> Automaton:
    """Enumerate the nodes of a space and fill its tables."""
    return _Compiler(spec, cards).compile()


class _Compiler:
    def __init__(self, spec: SpaceSpec, cards: Cards) -> None:
        self.spec = spec
        self.cards = cards
        self.index: dict[tuple[Node, OpSetting], int] = {}
        self.keys: list[tuple[Node, OpSetting]] = []

    def compile(self) -> Automaton:
        start = self._start()
        steps: list[dict[tuple[int, int, int], int]] = []
        crossings: list[dict[tuple[int, int], int]] = []
        frontier = sorted({int(node) for node in start.ravel()} - {DEAD})
        for number, stage in enumerate(self.spec.stages):
            crossing, frontier = self._cross(number, stage, frontier)
            crossings.append(crossing)
            table, frontier = self._explore(stage, frontier)
            steps.append(table)
        step_tables = tuple(
            self._dense(table, (len(s.attention), len(s.reduction)))
            for table, s in zip(steps, self.spec.stages, strict=True)
        )
        crossing_tables = tuple(
            self._dense(table, (len(s.transition),))
            for table, s in zip(crossings, self.spec.stages, strict=True)
        )
        ways = self._count(step_tables, crossing_tables)
        return Automaton(
            nodes=tuple(node for node, _ in self.keys),
            start=start,
            steps=step_tables,
            crossings=crossing_tables,
            ways=ways,
            walkable=tuple(table.astype(bool) for table in ways),
        )

    def _number(self, node: Node, position: OpSetting) -> int:
        # Behind its place the position has no say, so nodes that differ in it only are one.
        key = (node, position if node.position_in >= 0 else NONE)
        if key not in self.index:
            self.index[key] = len(self.keys)
            self.keys.append(key)
        return self.index[key]

    def _start(self) -> IntArray:
        spec = self.spec
        shape = (len(spec.patch_size), len(spec.embedding), len(spec.position))
        start = np.full(shape, DEAD, dtype=np.int64)
        for place in np.ndindex(*shape):
            patch, embedding = spec.patch_size[place[0]], spec.embedding[place[1]]
            position = spec.position[place[2]]
            node = start_node(spec, self.cards, patch, embedding, position)
            if isinstance(node, Node):
                start[place] = self._number(node, position)
        return start

    def _cross(
        self, number: int, stage: StageSpec, frontier: list[int]
    ) -> tuple[dict[tuple[int, int], int], list[int]]:
        if number == 0:
            return {(node, 0): node for node in frontier}, frontier
        table: dict[tuple[int, int], int] = {}
        for index in frontier:
            node, position = self.keys[index]
            for t, transition in enumerate(stage.transition):
                after = cross(self.cards, node, transition)
                if isinstance(after, Node):
                    table[index, t] = self._number(after, position)
        return table, sorted(set(table.values()))

    def _explore(
        self, stage: StageSpec, frontier: list[int]
    ) -> tuple[dict[tuple[int, int, int], int], list[int]]:
        table: dict[tuple[int, int, int], int] = {}
        reached, layer = set(frontier), list(frontier)
        for _ in range(max(stage.depth)):
            found: set[int] = set()
            for index in layer:
                node, position = self.keys[index]
                for a, attention in enumerate(stage.attention):
                    for r, reduction in enumerate(stage.reduction):
                        after = step(self.spec, self.cards, node, attention, reduction, position)
                        if isinstance(after, Node):
                            table[index, a, r] = self._number(after, position)
                            found.add(table[index, a, r])
            layer = sorted(found - reached)
            reached |= found
        return table, sorted(reached)

    def _dense(self, table: dict[Any, int], choices: tuple[int, ...]) -> IntArray:
        dense = np.full((len(self.keys), *choices), DEAD, dtype=np.int64)
        for key, value in table.items():
            dense[key] = value
        return dense

    def _letters(self, stage: StageSpec) -> npt.NDArray[Any]:
        """How many layers share one letter: its heads and MLP ratios."""
        per_attention = [
            (len(stage.heads) if self.cards.attention[a.op].has_heads else 1) * len(stage.mlp_ratio)
            for a in stage.attention
        ]
        return np.array(per_attention, dtype=object)[:, None]

    def _count(
        self, steps: tuple[IntArray, ...], crossings: tuple[IntArray, ...]
    ) -> tuple[npt.NDArray[Any], ...]:
        """Ways to finish, from the last layer backwards (dynamic programming)."""
        done = np.array([int(node.mixed) for node, _ in self.keys], dtype=object)
        tables: list[npt.NDArray[Any]] = []
        for number in reversed(range(len(steps))):
            stage = self.spec.stages[number]
            ways = [done]
            for _ in range(max(stage.depth)):
                ahead = np.append(ways[-1], 0)[steps[number]]  # DEAD looks up the appended 0
                ways.append((ahead * self._letters(stage)).sum(axis=(1, 2)))
            tables.insert(0, np.stack(ways))
            entered = sum(ways[depth] for depth in stage.depth) * len(stage.width)
            arrived = np.append(entered, 0)[crossings[number]].sum(axis=1)
            mixed = np.array([int(node.mixed) for node, _ in self.keys], dtype=object)
            done = arrived * mixed if number > 0 else arrived
        return tuple(tables)
