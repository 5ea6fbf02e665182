"""The search space: which architectures may be built.

It is declared as data and *given* the operators' cards; it never imports an operator.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from search_spaces.architecture import Architecture, Block, OpSetting, Stage, Value
from search_spaces.automaton import (
    DEAD,
    IntArray,
    Node,
    compile_automaton,
    cross,
    start_node,
    step,
    walk,
)
from search_spaces.card import Cards
from search_spaces.errors import UserError, unknown_name
from search_spaces.genes import Gene, GeneLayout
from search_spaces.spec import SpaceSpec, parse_spec
from search_spaces.walk import Trace, Walker


class Trial(Protocol):
    """The one method of an Optuna trial that a space uses."""

    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a trial proposed.

    Attributes:
        architecture: legal and canonical.
        repairs: genes that were changed to make it so, ``name: asked → taken``. Provenance only.
    """

    architecture: Architecture
    repairs: tuple[str, ...]


class SearchSpace:
    """The legal architectures of a declaration.

    Args:
        data: a space file's content.
        cards: the operators there are.
        excluded: operators that may not be proposed, each with the reason (a runtime that cannot
            run it, say). Genes, digest and weights stay those of the whole space.

    Raises:
        UserError: the declaration cannot be used, or holds no legal architecture.
    """

    def __init__(
        self,
        data: Mapping[str, Any],
        cards: Cards,
        excluded: Mapping[str, str] | None = None,
    ) -> None:
        self.spec: SpaceSpec = replace(parse_spec(data, cards), excluded=dict(excluded or {}))
        self.cards = cards
        self.layout = GeneLayout(self.spec)
        self._data = json.loads(json.dumps(data))
        self.automaton = compile_automaton(self.spec, cards)
        self.walker = Walker(self.layout, self.automaton, cards)
        if self.cardinality() == 0:
            raise UserError(f"space: it contains no legal architecture: {self._why_empty()}")

    @property
    def genes(self) -> tuple[Gene, ...]:
        """All genes, in the order of a gene row's columns."""
        return self.layout.genes

    def to_dict(self) -> dict[str, Any]:
        """The declaration, as plain data."""
        return dict(self._data)

    def digest(self) -> str:
        """16 hexadecimal digits that name the set of choices (not the operators' code)."""
        text = json.dumps([[g.name, list(g.choices)] for g in self.genes] + [repr(self.spec)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def cardinality(self) -> int:
        """Number of distinct legal architectures, exactly."""
        stage = self.spec.stages[0]
        ways = self.automaton.ways[0]
        entered = sum(ways[depth] for depth in stage.depth) * len(stage.width)
        return int(sum(entered[node] for node in self.automaton.start.ravel() if node != DEAD))

    # -- drawing ------------------------------------------------------------------------------

    def sample_genes(self, rng: np.random.Generator, count: int) -> IntArray:
        """Legal gene rows ``(count, G)``, uniform per gene."""
        return self.walker.sample(rng, count)

    def sample(self, rng: np.random.Generator, *, uniform: str = "genes") -> Architecture:
        """One legal architecture, uniform per gene, or over ``"architectures"``."""
        if uniform == "architectures":
            return self.decode(self._sample_uniform(random.Random(int(rng.integers(2**63)))))
        return self.decode(self.sample_genes(rng, 1)[0])

    def suggest(self, trial: Trial) -> Suggestion:
        """The architecture an Optuna trial proposes; every gene is asked, whatever the others."""
        row = [
            gene.choices.index(trial.suggest_categorical(gene.name, gene.choices))
            for gene in self.genes
        ]
        asked = np.array([row], dtype=np.int64)
        legal, trace = self.repair(asked)
        return Suggestion(self.decode(legal[0]), self._repairs(asked[0], legal[0], trace))

    def params(self, genes_G: IntArray) -> dict[str, Value]:
        """The parameters by name under which ``suggest`` proposes a gene row."""
        return {
            gene.name: gene.choices[int(index)]
            for gene, index in zip(self.genes, genes_G, strict=True)
        }

    def mutate(self, genes_BG: IntArray, rng: np.random.Generator, rate: float) -> IntArray:
        """Legal rows with each gene redrawn with probability ``rate``."""
        fresh = np.stack(
            [rng.integers(len(g.choices), size=len(genes_BG)) for g in self.genes], axis=1
        )
        mask = rng.random(genes_BG.shape) < rate
        return self.repair(np.where(mask, fresh, genes_BG))[0]

    def crossover(self, a_BG: IntArray, b_BG: IntArray, rng: np.random.Generator) -> IntArray:
        """Legal rows whose genes come from either parent with equal probability."""
        return self.repair(np.where(rng.random(a_BG.shape) < 0.5, a_BG, b_BG))[0]

    def smallest(self, **categorical: Any) -> Architecture:
        """The smallest in depth, width, heads, MLP and tokens; see ``extreme``."""
        return self.decode(self.extreme(largest=False, **categorical))

    def largest(self, **categorical: Any) -> Architecture:
        """The largest in depth, width, heads, MLP and tokens; see ``extreme``."""
        return self.decode(self.extreme(largest=True, **categorical))

    def extreme(
        self,
        *,
        largest: bool,
        attention: str | None = None,
        reduction: str = "none",
        patch_size: int | None = None,
    ) -> IntArray:
        """The gene row ``(G,)`` of the largest or smallest architecture.

        Args:
            largest: which end of the ordered genes.
            attention: label of the mixer in every layer; softmax where the space has it.
            reduction: label of the reduction in every layer.
            patch_size: by default the one with the most (fewest) tokens.
        """
        row = np.zeros(len(self.genes), dtype=np.int64)
        for index, gene in enumerate(self.genes):
            if gene.ordered:
                row[index] = len(gene.choices) - 1 if largest else 0
            elif gene.name.endswith(".attention"):
                row[index] = _label_index(gene, attention, prefer="softmax")
            elif gene.name.endswith(".reduction"):
                row[index] = _label_index(gene, reduction, prefer="none")
        patches = self.spec.patch_size
        row[0] = (
            (0 if largest else len(patches) - 1)
            if patch_size is None
            else patches.index(patch_size)
        )
        legal: IntArray = self.repair(row[None])[0][0]
        return legal

    # -- codec --------------------------------------------------------------------------------

    def repair(self, genes_BG: IntArray) -> tuple[IntArray, Trace]:
        """The nearest legal canonical rows, and where they stand in the automaton."""
        return self.walker.repair(genes_BG)

    def decode(self, genes_G: IntArray) -> Architecture:
        """The architecture of a legal row."""
        spec = self.spec
        row = [int(value) for value in genes_G]
        return Architecture(
            image_size=spec.image_size,
            channels=spec.channels,
            patch_size=spec.patch_size[row[0]],
            embedding=spec.embedding[row[1]],
            position=spec.position[row[2]],
            special_tokens=spec.special_tokens,
            pooling=spec.pooling,
            norm_eps=spec.norm_eps,
            stages=tuple(self._decode_stage(row, s) for s in range(len(spec.stages))),
        )

    def _decode_stage(self, row: list[int], number: int) -> Stage:
        spec, column = self.spec.stages[number], self.layout.stage_start[number]
        width = spec.width[row[column + 1]]
        blocks = []
        for layer in range(spec.depth[row[column + 2]]):
            start = self.layout.layer_start(number, layer)
            attention = spec.attention[row[start]]
            has_heads = self.cards.attention[attention.op].has_heads
            blocks.append(
                Block(
                    attention=attention,
                    heads=spec.heads[row[start + 1]] if has_heads else 0,
                    head_dim=self.spec.head_dim if has_heads else 0,
                    mlp_hidden=spec.hidden(width, spec.mlp_ratio[row[start + 2]]),
                    reduction=spec.reduction[row[start + 3]],
                )
            )
        return Stage(width=width, blocks=tuple(blocks), transition=spec.transition[row[column]])

    def encode(self, architecture: Architecture) -> IntArray:
        """The canonical gene row ``(G,)`` of an architecture.

        Raises:
            UserError: it is not in this space; the message says why.
        """
        reason = self.why_not(architecture)
        if reason is not None:
            raise UserError(f"architecture {architecture.digest()} is not in the space: {reason}")
        spec = self.spec
        row = np.zeros(len(self.genes), dtype=np.int64)
        row[0] = spec.patch_size.index(architecture.patch_size)
        row[1] = spec.embedding.index(architecture.embedding)
        row[2] = spec.position.index(architecture.position)
        for number, stage in enumerate(architecture.stages):
            choices, column = spec.stages[number], self.layout.stage_start[number]
            row[column] = choices.transition.index(stage.transition)
            row[column + 1] = choices.width.index(stage.width)
            row[column + 2] = choices.depth.index(len(stage.blocks))
            for layer, block in enumerate(stage.blocks):
                start = self.layout.layer_start(number, layer)
                hidden = [choices.hidden(stage.width, ratio) for ratio in choices.mlp_ratio]
                row[start] = choices.attention.index(block.attention)
                row[start + 1] = choices.heads.index(block.heads) if block.heads else 0
                row[start + 2] = hidden.index(block.mlp_hidden)
                row[start + 3] = choices.reduction.index(block.reduction)
        return row

    def contains(self, architecture: Architecture) -> bool:
        """Whether the architecture is legal and in this space."""
        return self.why_not(architecture) is None

    def why_not(self, architecture: Architecture) -> str | None:
        """Why an architecture is not in this space, or None if it is."""
        return self._why_choices(architecture) or self._why_illegal(architecture)

    def _why_choices(self, architecture: Architecture) -> str | None:
        spec = self.spec
        fixed = ("image_size", "channels", "special_tokens", "pooling", "norm_eps")
        for name in fixed:
            if getattr(architecture, name) != getattr(spec, name):
                return f"{name}={getattr(architecture, name)}, not {getattr(spec, name)}"
        for name in ("patch_size", "embedding", "position"):
            if getattr(architecture, name) not in getattr(spec, name):
                return f"{name}={getattr(architecture, name)} is no choice"
        if len(architecture.stages) != len(spec.stages):
            return f"{len(architecture.stages)} stages, not {len(spec.stages)}"
        for number, stage in enumerate(architecture.stages):
            reason = self._why_stage(number, stage)
            if reason is not None:
                return f"stage {number}: {reason}"
        return None

    def _why_stage(self, number: int, stage: Stage) -> str | None:
        choices = self.spec.stages[number]
        if stage.width not in choices.width:
            return f"width={stage.width} is no choice"
        if len(stage.blocks) not in choices.depth:
            return f"depth={len(stage.blocks)} is no choice"
        if stage.transition not in choices.transition:
            return f"transition={stage.transition} is no choice"
        hidden = [choices.hidden(stage.width, ratio) for ratio in choices.mlp_ratio]
        for layer, block in enumerate(stage.blocks):
            if block.attention not in choices.attention:
                return f"layer {layer}: attention={block.attention} is no choice"
            has_heads = self.cards.attention[block.attention.op].has_heads
            if (block.heads not in choices.heads) if has_heads else block.heads != 0:
                return f"layer {layer}: heads={block.heads} is no choice"
            if block.head_dim != (self.spec.head_dim if has_heads else 0):
                return f"layer {layer}: head_dim={block.head_dim} is no choice"
            if block.mlp_hidden not in hidden:
                return f"layer {layer}: mlp hidden={block.mlp_hidden} is no choice"
            if block.reduction not in choices.reduction:
                return f"layer {layer}: reduction={block.reduction} is no choice"
        return None

    def _why_illegal(self, architecture: Architecture) -> str | None:
        outcome = walk(self.spec, self.cards, architecture)
        return outcome if isinstance(outcome, str) else None

    def _why_empty(self) -> str:
        spec = self.spec
        for patch in spec.patch_size:
            for embedding in spec.embedding:
                for position in spec.position:
                    node = start_node(spec, self.cards, patch, embedding, position)
                    if isinstance(node, Node):
                        return self._why_stuck(node, position)
                    reason = node
        return reason

    def _why_stuck(self, node: Node, position: OpSetting) -> str:
        stage = self.spec.stages[0]
        if not any(self.cards.attention[a.op].mixes for a in stage.attention):
            return "no attention of it passes information between tokens"
        reason = "every depth ends in a dead end"
        for attention in stage.attention:
            for reduction in stage.reduction:
                after = step(self.spec, self.cards, node, attention, reduction, position)
                if isinstance(after, Node):
                    return self._why_no_way_on()
                reason = after
        return reason

    def _why_no_way_on(self) -> str:
        for number, crossing in enumerate(self.automaton.crossings[1:], start=1):
            left = [int(n) for n in np.unique(self.automaton.steps[number - 1]) if n != DEAD]
            if (crossing[left] == DEAD).all():
                for index in left:
                    for transition in self.spec.stages[number].transition:
                        reason = cross(self.cards, self.automaton.nodes[index], transition)
                        if isinstance(reason, str):
                            return f"stages[{number}]: {reason}"
        return "every depth ends in a dead end"

    def _repairs(self, asked_G: IntArray, legal_G: IntArray, trace: Trace) -> tuple[str, ...]:
        repairs = []
        active = self._active(legal_G)
        for index, gene in enumerate(self.genes):
            if active[index] and asked_G[index] != legal_G[index]:
                asked, taken = gene.choices[asked_G[index]], gene.choices[legal_G[index]]
                repairs.append(f"{gene.name}: {asked} → {taken}")
        return tuple(repairs)

    def _active(self, genes_G: IntArray) -> list[bool]:
        """Which genes have an effect in a legal row."""
        active = [True] * len(self.genes)
        for number, stage in enumerate(self.spec.stages):
            depth = stage.depth[genes_G[self.layout.stage_start[number] + 2]]
            for layer in range(max(stage.depth)):
                start = self.layout.layer_start(number, layer)
                has_heads = self.cards.attention[stage.attention[genes_G[start]].op].has_heads
                active[start : start + 4] = [layer < depth] * 4
                active[start + 1] = layer < depth and has_heads
        return active

    def _sample_uniform(self, rng: random.Random) -> IntArray:
        """A gene row drawn with equal probability for every architecture (by counting ways)."""
        row = np.zeros(len(self.genes), dtype=np.int64)
        starts, enter = [], self._entering(0)
        for place in np.ndindex(*self.automaton.start.shape):
            node = int(self.automaton.start[place])
            if node != DEAD:
                starts.append((enter[node], place, node))
        place, node = _weighted(rng, starts)
        row[:3] = place
        for number in range(len(self.spec.stages)):
            node = self._draw_stage(rng, row, number, node)
        return row

    def _entering(self, number: int) -> Any:
        stage = self.spec.stages[number]
        return sum(self.automaton.ways[number][depth] for depth in stage.depth)

    def _draw_stage(self, rng: random.Random, row: IntArray, number: int, node: int) -> int:
        stage, column = self.spec.stages[number], self.layout.stage_start[number]
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
        stage, start = self.spec.stages[number], self.layout.layer_start(number, layer)
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


def _label_index(gene: Gene, label: str | None, *, prefer: str) -> int:
    labels = [str(choice) for choice in gene.choices]
    if label is None:
        label = prefer if prefer in labels else labels[0]
    if label not in labels:
        if label == prefer:  # a space without the plain choice: the walk repairs what remains
            return 0
        raise unknown_name(gene.name, label, labels)
    return labels.index(label)


def _weighted(rng: random.Random, options: list[tuple[Any, Any, Any]]) -> tuple[Any, Any]:
    """Draw ``(choice, payload)`` with probability proportional to an exact integer weight."""
    mark = rng.randrange(int(sum(weight for weight, _, _ in options)))
    for weight, choice, payload in options:
        mark -= weight
        if mark < 0:
            return choice, payload
    raise AssertionError("weights sum to more than the mark")
