"""An architecture, resolved: which operator runs where, with which sizes and parameters.

Pure bookkeeping without weights. The supernet, the extracted model and the cost model all read
the same resolution, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from search_spaces.architecture import Architecture, Block, OpSetting
from search_spaces.automaton import Node, SingleRules, walk
from search_spaces.card import AttentionCard, Geometry, ParameterSpec, norm_specs
from search_spaces.errors import UserError
from search_spaces.workload import Sizes
from supernet.attention import ATTENTIONS
from supernet.checking import check_operators
from supernet.embedding import EMBEDDINGS
from supernet.operators import (
    Attention,
    Embedding,
    Position,
    Reduction,
    Transition,
    all_cards,
)
from supernet.position import POSITIONS
from supernet.token_reduction import REDUCTIONS
from supernet.transition import TRANSITIONS


@dataclass(frozen=True, slots=True)
class Part:
    """One group of parameters of a network.

    Attributes:
        path: its place in the extracted model, ``stages.0.blocks.3.attention``.
        specs: its parameters.
        sizes: the sizes they take.
        op: the operator's name, or "" where there is one kind only (the MLP, the head).
        master: the place of its masters in the supernet, ``stages.0.layers.3.attention``.
    """

    path: str
    specs: tuple[ParameterSpec, ...]
    sizes: Sizes
    op: str
    master: str


@dataclass(frozen=True, slots=True)
class ResolvedBlock:
    """One layer: operators, and sizes in front of it, at the attention and behind it."""

    block: Block
    attention: Attention
    reduction: Reduction
    wants: str | None
    before: Sizes
    mixing: Sizes
    mlp: Sizes
    after: Sizes
    attention_part: Part
    mlp_part: Part
    reduction_part: Part


@dataclass(frozen=True, slots=True)
class ResolvedStage:
    """The entry of a stage and its layers."""

    transition: Transition
    setting: OpSetting
    entry: Sizes
    part: Part
    blocks: tuple[ResolvedBlock, ...]


@dataclass(frozen=True, slots=True)
class ResolvedNetwork:
    """A whole backbone and its head."""

    architecture: Architecture
    num_classes: int
    embedding: Embedding
    embedding_part: Part
    tokens_part: Part
    position: Position
    position_part: Part
    stages: tuple[ResolvedStage, ...]
    norm_part: Part
    head_part: Part

    def parts(self) -> Iterator[Part]:
        """All parameter groups that hold at least one parameter, in order of execution."""
        found = [self.embedding_part, self.tokens_part, self.position_part]
        for stage in self.stages:
            found.append(stage.part)
            for block in stage.blocks:
                found += [block.attention_part, block.reduction_part, block.mlp_part]
        found += [self.norm_part, self.head_part]
        return (part for part in found if part.specs)


def mlp_specs() -> tuple[ParameterSpec, ...]:
    """Norm, expansion and projection of an MLP."""
    return (
        *norm_specs("norm"),
        ParameterSpec(name="fc1_weight", shape=lambda s: (s.hidden, s.width)),
        ParameterSpec(name="fc1_bias", shape=lambda s: (s.hidden,), init="zeros"),
        ParameterSpec(name="fc2_weight", shape=lambda s: (s.width, s.hidden)),
        ParameterSpec(name="fc2_bias", shape=lambda s: (s.width,), init="zeros"),
    )


def inside_specs(card: AttentionCard, position: OpSetting) -> tuple[ParameterSpec, ...]:
    """What a position that acts inside of attention puts into a layer."""
    inside = POSITIONS[position.op].card.inside
    return inside(position) if inside is not None and card.relative else ()


def special_specs(special: int) -> tuple[ParameterSpec, ...]:
    """The special tokens themselves."""
    if special == 0:
        return ()
    return (ParameterSpec(name="special", shape=lambda s: (s.special, s.width), init="normal"),)


def head_specs(num_classes: int) -> tuple[ParameterSpec, ...]:
    """A linear classifier."""
    return (
        ParameterSpec(name="weight", shape=lambda s: (num_classes, s.width)),
        ParameterSpec(name="bias", shape=lambda s: (num_classes,), init="zeros"),
    )


def geometry_sizes(geometry: Geometry) -> dict[str, int]:
    """The part of ``Sizes`` that a geometry sets."""
    height, width = geometry.grid or (0, 0)
    return {
        "tokens": geometry.tokens,
        "special": geometry.special,
        "grid_h": height,
        "grid_w": width,
        "merged": int(geometry.merged),
        "ragged": int(geometry.ragged),
    }


@lru_cache(maxsize=4096)
def resolve(architecture: Architecture, num_classes: int) -> ResolvedNetwork:
    """Resolve an architecture.

    Raises:
        UserError: it is not legal, or names an operator or a parameter that does not exist.
    """
    rules = SingleRules(
        image_size=architecture.image_size, special_tokens=architecture.special_tokens
    )
    check_operators(architecture)
    nodes = walk(rules, all_cards(), architecture)
    if isinstance(nodes, str):
        raise UserError(f"architecture {architecture.digest()} is not legal: {nodes}")
    return _Resolver(architecture, num_classes, nodes).resolve()


class _Resolver:
    def __init__(self, architecture: Architecture, classes: int, nodes: list[Node]) -> None:
        self.architecture = architecture
        self.classes = classes
        self.geometries = iter([node.geometry for node in nodes])

    def resolve(self) -> ResolvedNetwork:
        a = self.architecture
        embedding, position = EMBEDDINGS[a.embedding.op], POSITIONS[a.position.op]
        stages: list[ResolvedStage] = []
        for number in range(len(a.stages)):
            stages.append(self._stage(number, stages[-1] if stages else None))
        entry = stages[0].entry
        last = a.stages[-1].width
        placed = self._position_sizes(position, stages)
        return ResolvedNetwork(
            architecture=a,
            num_classes=self.classes,
            embedding=embedding,
            embedding_part=Part(
                "embedding",
                embedding.card.parameters(a.embedding),
                entry,
                embedding.name,
                "embedding",
            ),
            tokens_part=Part("tokens", special_specs(a.special_tokens), entry, "", "tokens"),
            position=position,
            position_part=Part(
                "position", position.card.parameters(a.position), placed, position.name, "position"
            ),
            stages=tuple(stages),
            norm_part=Part("norm", norm_specs("norm"), Sizes(width=last), "", "norm"),
            head_part=Part("head", head_specs(self.classes), Sizes(width=last), "", "head"),
        )

    def _position_sizes(self, position: Position, stages: list[ResolvedStage]) -> Sizes:
        if position.card.after_block < 0:
            return stages[0].entry
        blocks = [block for stage in stages for block in stage.blocks]
        return blocks[position.card.after_block].after

    def _stage(self, number: int, previous: ResolvedStage | None) -> ResolvedStage:
        a, stage = self.architecture, self.architecture.stages[number]
        geometry = next(self.geometries)
        entry = Sizes(
            width=stage.width,
            patch=a.patch_size,
            channels=a.channels,
            image_h=a.image_size[0],
            image_w=a.image_size[1],
            **geometry_sizes(geometry),
        )
        if previous is not None:
            left = previous.blocks[-1].after
            entry = entry.but(width_in=left.width, grid_in_h=left.grid_h, grid_in_w=left.grid_w)
        blocks, sizes = [], entry
        for layer, block in enumerate(stage.blocks):
            blocks.append(self._block(number, layer, block, sizes, next(self.geometries)))
            sizes = blocks[-1].after
        transition = TRANSITIONS[stage.transition.op]
        part = Part(
            f"stages.{number}.transition",
            transition.card.parameters(stage.transition),
            entry,
            transition.name,
            f"stages.{number}.transition",
        )
        return ResolvedStage(transition, stage.transition, entry, part, tuple(blocks))

    def _block(
        self, number: int, layer: int, block: Block, before: Sizes, behind: Geometry
    ) -> ResolvedBlock:
        attention, reduction = ATTENTIONS[block.attention.op], REDUCTIONS[block.reduction.op]
        path, master = f"stages.{number}.blocks.{layer}", f"stages.{number}.layers.{layer}"
        inside = inside_specs(attention.card, self.architecture.position)
        here = before.but(
            heads=block.heads,
            head_dim=block.head_dim,
            hidden=block.mlp_hidden,
            relative=int(bool(inside)),
        )
        after = here.but(**geometry_sizes(behind))
        hook = reduction.card.hook
        mixing = after if hook == "before_attention" else here
        mlp = here if hook == "between_blocks" else after
        return ResolvedBlock(
            block=block,
            attention=attention,
            reduction=reduction,
            wants=reduction.card.score(attention.card.gives_scores(before.special)),
            before=here,
            mixing=mixing,
            mlp=mlp,
            after=after,
            attention_part=Part(
                f"{path}.attention",
                (*attention.card.specs(block.attention), *inside),
                mixing,
                attention.name,
                f"{master}.attention",
            ),
            mlp_part=Part(f"{path}.mlp", mlp_specs(), mlp, "", f"{master}.mlp"),
            reduction_part=Part(
                f"{path}.reduction",
                reduction.card.parameters(block.reduction),
                after,
                reduction.name,
                f"{master}.reduction",
            ),
        )
