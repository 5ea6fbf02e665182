"""The one forward pass, for every network: the supernet's members and extracted models alike.

``weights`` maps a part's path to its tensors; where they come from is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from supernet.network import Part, ResolvedBlock, ResolvedNetwork
from supernet.operators import Weights
from supernet.tokens import TokenState, track

EMPTY: Mapping[str, Tensor] = {}
Mlp = Callable[[TokenState, Weights, float], TokenState]
"""The MLP of a layer on its residual stream: tokens, its parameters, the norm's epsilon."""


class WeightSource(Protocol):
    """Where a part's tensors come from."""

    def __call__(self, part: Part) -> Weights: ...


@dataclass(frozen=True, slots=True)
class Features:
    """What a backbone makes of a batch.

    Attributes:
        state: the tokens behind the last block, before the final norm.
        taps: the states behind the blocks that were asked for, by block index.
    """

    state: TokenState
    taps: Mapping[int, TokenState]


def forward_features(
    images_BCHW: Tensor,
    network: ResolvedNetwork,
    weights: WeightSource,
    *,
    taps: Collection[int] = (),
    tracked: bool = False,
    mlp: Mlp | None = None,
) -> Features:
    """Run the backbone.

    Args:
        images_BCHW: normalised images of the architecture's size and channels.
        network: what to run.
        weights: where tensors come from.
        taps: indices of blocks whose output is wanted.
        tracked: follow centres and parents of tokens (costs a little; off by default).
        mlp: another way to compute the same MLP.

    Raises:
        ValueError: the images do not have the architecture's size or channels.
    """
    architecture = network.architecture
    _check_images(images_BCHW, network)
    state = _embed(images_BCHW, network, weights)
    if tracked:
        state = track(state)
    place = network.position.card.after_block
    if place < 0:
        state = network.position.forward(
            state, weights(network.position_part), architecture.position
        )
    tapped: dict[int, TokenState] = {}
    index = 0
    for stage in network.stages:
        state = stage.transition.forward(state, weights(stage.part), stage.setting)
        for block in stage.blocks:
            state = run_block(state, block, weights, architecture.norm_eps, mlp or _mlp)
            if index == place:
                state = network.position.forward(
                    state, weights(network.position_part), architecture.position
                )
            if index in taps:
                tapped[index] = state
            index += 1
    return Features(state, tapped)


def forward_logits(
    images_BCHW: Tensor, network: ResolvedNetwork, weights: WeightSource, mlp: Mlp | None = None
) -> Tensor:
    """Class logits ``(B, classes)``."""
    state = forward_features(images_BCHW, network, weights, mlp=mlp).state
    return head(state, network, weights)


def head(state: TokenState, network: ResolvedNetwork, weights: WeightSource) -> Tensor:
    """Final norm, pooling and classifier of a backbone's last tokens."""
    norm, classifier = weights(network.norm_part), weights(network.head_part)
    x_BND = state.x_BND
    x_BND = norm_tokens(x_BND, norm, network.architecture.norm_eps)
    pooled_BD = pool(state.but(x_BND=x_BND), network.architecture.pooling)
    return F.linear(pooled_BD, classifier["weight"], classifier["bias"])


def pool(state: TokenState, pooling: str) -> Tensor:
    """One vector an image ``(B, D)``: the class token, or the mean over the image's patches."""
    if pooling == "class":
        return state.x_BND[:, 0]
    patches = state.patches_BND
    if state.size_BN1 is None:
        return patches.mean(dim=1)
    weight_BN1 = state.size_BN1[:, state.special :]
    return (patches * weight_BN1).sum(dim=1) / weight_BN1.sum(dim=1)


def run_block(
    state: TokenState, block: ResolvedBlock, weights: WeightSource, norm_eps: float, mlp: Mlp
) -> TokenState:
    """One layer: attention and MLP on a residual stream, with the token reduction at its hook."""
    setting, hook = block.block.reduction, block.reduction.card.hook
    reduces = setting.op != "none"
    score: Tensor | None = None
    if reduces and hook == "before_attention":
        state = block.reduction.forward(state, None, weights(block.reduction_part), setting)
    if not block.attention.card.identity:
        w = weights(block.attention_part)
        mixed_BND, score = block.attention.forward(
            norm_tokens(state.x_BND, w, norm_eps),
            state,
            w,
            block.block.attention,
            block.mixing,
            block.wants if reduces else None,
        )
        state = state.but(x_BND=state.x_BND + mixed_BND)
        del mixed_BND
    if reduces and hook == "after_attention":
        state = block.reduction.forward(state, score, weights(block.reduction_part), setting)
        score = None  # the MLP behind it needs the memory
    state = mlp(state, weights(block.mlp_part), norm_eps)
    if reduces and hook == "between_blocks":
        state = block.reduction.forward(state, score, weights(block.reduction_part), setting)
    return state


def _mlp(state: TokenState, w: Weights, norm_eps: float) -> TokenState:
    # Written as one expression so that no intermediate outlives its use.
    made_BND = F.linear(
        F.gelu(F.linear(norm_tokens(state.x_BND, w, norm_eps), w["fc1_weight"], w["fc1_bias"])),
        w["fc2_weight"],
        w["fc2_bias"],
    )
    return state.but(x_BND=state.x_BND + made_BND)


def norm_tokens(x_BND: Tensor, w: Weights, eps: float) -> Tensor:
    """Layer norm of every token by the ``norm_*`` of a part."""
    weight = w["norm_weight"]  # its shape is known to a tracer, whatever that of the tokens is
    return F.layer_norm(x_BND, weight.shape, weight, w["norm_bias"], eps)


def _embed(images_BCHW: Tensor, network: ResolvedNetwork, weights: WeightSource) -> TokenState:
    architecture = network.architecture
    x_BND, grid = network.embedding.forward(
        images_BCHW,
        architecture.patch_size,
        weights(network.embedding_part),
        architecture.embedding,
    )
    special = architecture.special_tokens
    if special:
        tokens_CD = weights(network.tokens_part)["special"]
        x_BND = torch.cat([tokens_CD.expand(x_BND.shape[0], -1, -1), x_BND], dim=1)
    return TokenState(x_BND=x_BND, special=special, grid=grid)


def _check_images(images_BCHW: Tensor, network: ResolvedNetwork) -> None:
    architecture = network.architecture
    need = (architecture.channels, *architecture.image_size)
    if tuple(images_BCHW.shape[1:]) != need:
        raise ValueError(
            f"images must have shape (B, {need[0]}, {need[1]}, {need[2]}), "
            f"got {tuple(images_BCHW.shape)}"
        )
