"""The supernet: one set of weights for every architecture of a space."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from search_spaces.architecture import Architecture
from search_spaces.card import ParameterSpec, joint_bias, norm_specs
from search_spaces.errors import bad_value
from search_spaces.space import SearchSpace
from search_spaces.workload import Sizes
from supernet.attention import ATTENTIONS
from supernet.cutting import BoundWeights, GradientMemory, Source, Sources, cut_out
from supernet.extract import VisionTransformer
from supernet.forward import EMPTY, Features, WeightSource, forward_features, forward_logits
from supernet.layers import ParameterGroup, make_cut, master_shapes
from supernet.member import Member
from supernet.network import (
    Part,
    ResolvedNetwork,
    head_specs,
    inside_specs,
    mlp_specs,
    resolve,
    special_specs,
)

Share = Literal["all", "family", "none"]
MEMBERS_KEPT = 16
"""The ends of the space come up in every step of a training, others hardly ever again."""


class Supernet(nn.Module):
    """Shared weights; a member is named by the architecture that is passed, never stored.

    Args:
        space: the architectures it must serve.
        num_classes: outputs of the head.
        share: whether attention types of one layer share q, k, v and o: ``all`` of them, those
            of one ``family``, or ``none``.
    """

    def __init__(self, space: SearchSpace, num_classes: int, share: Share = "all") -> None:
        super().__init__()
        if share not in ("all", "family", "none"):
            raise bad_value("supernet.share", share, "'all', 'family' or 'none'")
        self.space = space
        self.num_classes = num_classes
        self.share: Share = share
        self.masters = nn.ModuleDict()
        for place, uses in master_uses(self).items():
            shapes, inits = master_shapes(uses)
            self.masters[group_key(place)] = ParameterGroup(shapes, inits)
        self._members: OrderedDict[Architecture, Member] = OrderedDict()
        self._gradients = GradientMemory()

    def forward(self, images_BCHW: Tensor, architecture: Architecture) -> Tensor:
        """Logits ``(B, classes)`` of one member of the space.

        Args:
            images_BCHW: normalised images of the space's size.
            architecture: which member; it must be in the space.
        """
        network = resolve(architecture, self.num_classes)
        return forward_logits(images_BCHW, network, self._cut(network))

    def member(self, architecture: Architecture) -> Member:
        """One member, bound to the weights: quicker where it runs more than once, or learns.

        Args:
            architecture: which member; it must be in the space.
        """
        member = self._members.pop(architecture, None)
        if member is None or not member.is_current():
            network = resolve(architecture, self.num_classes)
            sources = self.sources(architecture)
            bound = BoundWeights(self.masters, sources, self._gradients)
            member = Member(network, bound)
        self._members[architecture] = member  # the last one asked for is the last to go
        if len(self._members) > MEMBERS_KEPT:
            self._members.popitem(last=False)
        return member

    def forward_features(
        self,
        images_BCHW: Tensor,
        architecture: Architecture,
        taps: Collection[int] = (),
        *,
        tracked: bool = False,
    ) -> Features:
        """The tokens behind the last block of a member, and behind the blocks of ``taps``."""
        network = resolve(architecture, self.num_classes)
        return forward_features(
            images_BCHW, network, self._cut(network), taps=taps, tracked=tracked
        )

    def tensors(self, architecture: Architecture) -> Iterator[tuple[str, Tensor]]:
        """Every parameter of a member, named as in its extracted model, cut from the masters."""
        network = resolve(architecture, self.num_classes)
        weights = self._cut(network)
        for part in network.parts():
            for name, tensor in weights(part).items():
                yield f"{part.path}.{name}", tensor

    def sources(self, architecture: Architecture) -> Sources:
        """Where every parameter of a member comes from, by part."""
        network = resolve(architecture, self.num_classes)
        return {part.path: tuple(self._sources(part)) for part in network.parts()}

    def _sources(self, part: Part) -> Iterator[Source]:
        for spec in map(self._ruled, part.specs):
            group = group_key(self.place(part.master, part.op, spec))
            name = spec.master or spec.name
            master = self.masters[group]._parameters[name]
            assert master is not None
            yield Source(spec.name, group, name, make_cut(spec, part.sizes, tuple(master.shape)))

    def _ruled(self, spec: ParameterSpec) -> ParameterSpec:
        """A parameter with the slicing rule that the space sets for it."""
        return joint_bias(spec) if self.space.spec.joint_qkv_bias else spec

    def place(self, master: str, op: str, spec: ParameterSpec) -> str:
        """The place of a parameter's master, given that of its part and its operator."""
        if spec.shared:
            return f"{master}.shared.{self._share_group(op)}"
        return f"{master}.{op}" if op else master

    def _share_group(self, op: str) -> str:
        if self.share == "all":
            return "all"
        return ATTENTIONS[op].card.family if self.share == "family" else op

    def _cut(self, network: ResolvedNetwork) -> WeightSource:
        weights = cut_out(self.masters, self.sources(network.architecture))
        return lambda part: weights[part.path] if part.specs else EMPTY

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self._members.clear()  # weights move or change their kind
        self._gradients = GradientMemory()
        return super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]

    def __deepcopy__(self, memo: dict[int, object]) -> Supernet:
        # Members show the weights of this one; a copy makes its own.
        copy = Supernet(self.space, self.num_classes, self.share)
        memo[id(self)] = copy
        parameters = next(iter(self.parameters()))
        copy.to(parameters.device, parameters.dtype).load_state_dict(self.state_dict())
        copy.train(self.training)
        for mine, theirs in zip(self.parameters(), copy.parameters(), strict=True):
            theirs.requires_grad_(mine.requires_grad)
        return copy


def extract(supernet: Supernet, architecture: Architecture) -> VisionTransformer:
    """A member of the supernet as a standalone model with its own copy of the weights.

    Raises:
        UserError: the architecture is not legal.
    """
    model = VisionTransformer(architecture, supernet.num_classes)
    first = next(supernet.parameters())
    model.to(first.device, first.dtype).train(supernet.training)
    with torch.no_grad():
        for name, tensor in supernet.tensors(architecture):
            model.get_parameter(name).copy_(tensor)
    return model


def group_key(place: str) -> str:
    """The name of a place's group of masters."""
    return place.replace(".", "/")  # module names hold no dots


def master_uses(supernet: Supernet) -> dict[str, list[tuple[ParameterSpec, Sizes]]]:
    """Every use of every master at the largest sizes of the space, by place."""
    uses: dict[str, list[tuple[ParameterSpec, Sizes]]] = {}

    def add(place: str, op: str, specs: tuple[ParameterSpec, ...], sizes: Sizes) -> None:
        for spec in map(supernet._ruled, specs):
            uses.setdefault(supernet.place(place, op, spec), []).append((spec, sizes))

    space = supernet.space
    spec, cards = space.spec, space.cards
    stages = [_largest_sizes(space, number) for number in range(len(spec.stages))]
    for setting in spec.embedding:
        add("embedding", setting.op, cards.embedding[setting.op].parameters(setting), stages[0])
    add("tokens", "", special_specs(spec.special_tokens), stages[0])
    for setting in spec.position:
        add("position", setting.op, cards.position[setting.op].parameters(setting), stages[0])
    for number, stage in enumerate(spec.stages):
        sizes = stages[number]
        for setting in stage.transition:
            place = f"stages.{number}.transition"
            add(place, setting.op, cards.transition[setting.op].parameters(setting), sizes)
        for layer in range(max(stage.depth)):
            place = f"stages.{number}.layers.{layer}"
            for setting in stage.attention:
                card = cards.attention[setting.op]
                add(f"{place}.attention", setting.op, card.specs(setting), sizes)
                for position in spec.position:
                    inside = inside_specs(card, position)
                    add(f"{place}.attention", setting.op, inside, sizes)
            for setting in stage.reduction:
                specs = cards.reduction[setting.op].parameters(setting)
                add(f"{place}.reduction", setting.op, specs, sizes)
            add(f"{place}.mlp", "", mlp_specs(), sizes)
    add("norm", "", norm_specs("norm"), stages[-1])
    add("head", "", head_specs(supernet.num_classes), stages[-1])
    return uses


def _largest_sizes(space: SearchSpace, number: int) -> Sizes:
    spec, stage = space.spec, space.spec.stages[number]
    grids = [n.geometry.grid for n in space.automaton.nodes if n.geometry.grid is not None]
    return Sizes(
        width=max(stage.width),
        heads=max(stage.heads),
        head_dim=spec.head_dim,
        hidden=max(stage.hidden(w, r) for w in stage.width for r in stage.mlp_ratio),
        tokens=int(space.automaton.tokens.max()),
        special=spec.special_tokens,
        grid_h=max(grid[0] for grid in grids),
        grid_w=max(grid[1] for grid in grids),
        patch=min(spec.patch_size),
        channels=spec.channels,
        image_h=spec.image_size[0],
        image_w=spec.image_size[1],
        width_in=max(spec.stages[number - 1].width) if number else 0,
    )
