"""Heads, MLP neurons and channels of a trained network, the most important ones first.

A supernet cuts its members from the front, so what matters most should stand there. How much the
loss changes where a unit is left out is, to first order, ``|Σ w · ∂L/∂w|`` over the weights that
carry it (Taylor: Molchanov et al. 2019, eq. 8; Michel et al. 2019, eq. 2 for heads; DynaBERT orders
heads and neurons so, section 2.1). It is summed per batch, then averaged.

Changing the order changes no output: a permutation of units is undone where they are read.

Shapes: D width, I inner width, H heads, d head width, M neurons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from search_spaces.architecture import Architecture
from supernet.extract import VisionTransformer


@dataclass(frozen=True, slots=True)
class Order:
    """Which unit comes first, per kind.

    Attributes:
        width_D: channels of the residual stream.
        heads_H, hidden_M: of each layer.
    """

    width_D: Tensor
    heads_H: tuple[Tensor, ...]
    hidden_M: tuple[Tensor, ...]


def importance_order(
    model: VisionTransformer, batches: Iterable[tuple[Tensor, Tensor | None]]
) -> Order:
    """The order of a network of one stage.

    Args:
        model: with a head; its gradients are used up.
        batches: normalised images and labels; without labels the network's own answers are
            taken for them.
    """
    blocks = [f"stages.0.blocks.{i}" for i in range(model.architecture.depth)]
    head_dim = model.architecture.stages[0].blocks[0].head_dim
    width: Tensor | None = None
    heads: list[Tensor] = []
    hidden: list[Tensor] = []
    for images_BCHW, labels_B in batches:
        model.zero_grad(set_to_none=True)
        logits_BK = model(images_BCHW)
        labels = logits_BK.argmax(dim=1) if labels_B is None else labels_B
        F.cross_entropy(logits_BK, labels).backward()  # type: ignore[no-untyped-call]
        carried = {name: _carried(p) for name, p in model.named_parameters()}
        gains = [t for name, t in carried.items() if name.endswith(("norm_weight", "norm_bias"))]
        found_D = torch.stack(gains).sum(0).abs()
        found_H = [
            carried[f"{b}.attention.o_weight"].sum(0).view(-1, head_dim).sum(1).abs()
            for b in blocks
        ]
        found_M = [carried[f"{b}.mlp.fc2_weight"].sum(0).abs() for b in blocks]
        if width is None:
            width, heads, hidden = found_D, found_H, found_M
        else:
            width = width + found_D
            heads = [a + b for a, b in zip(heads, found_H, strict=True)]
            hidden = [a + b for a, b in zip(hidden, found_M, strict=True)]
    if width is None:
        raise ValueError("importance needs at least one batch")
    return Order(_ranked(width), tuple(map(_ranked, heads)), tuple(map(_ranked, hidden)))


def _carried(parameter: Tensor) -> Tensor:
    gradient = parameter.grad
    return torch.zeros_like(parameter) if gradient is None else (parameter * gradient).detach()


def _ranked(importance: Tensor) -> Tensor:
    return importance.argsort(descending=True, stable=True)


def reordered(
    tensors: Mapping[str, Tensor], architecture: Architecture, order: Order
) -> dict[str, Tensor]:
    """The tensors of a network of one stage, its units in another order: the same function."""
    made = dict(tensors)

    def turn(name: str, axis: int, index: Tensor) -> None:
        if name in made:
            made[name] = made[name].index_select(axis, index)

    width_D = order.width_D
    for name in ("embedding.weight", "embedding.bias", "norm.norm_weight", "norm.norm_bias"):
        turn(name, 0, width_D)
    for name in ("tokens.special", "position.special", "head.weight"):
        turn(name, 1, width_D)
    turn("position.table", 2, width_D)
    head_dim = architecture.stages[0].blocks[0].head_dim
    for layer in range(architecture.depth):
        at, mlp = f"stages.0.blocks.{layer}.attention", f"stages.0.blocks.{layer}.mlp"
        inner_I = (
            order.heads_H[layer][:, None] * head_dim + torch.arange(head_dim)[None]
        ).flatten()
        hidden_M = order.hidden_M[layer]
        for name in ("norm_weight", "norm_bias", "o_weight", "o_bias"):
            turn(f"{at}.{name}", 0, width_D)
        for name in ("norm_weight", "norm_bias", "fc2_weight", "fc2_bias"):
            turn(f"{mlp}.{name}", 0, width_D)
        for name in "qkv":
            turn(f"{at}.{name}_weight", 1, width_D)
            turn(f"{at}.{name}_weight", 0, inner_I)
            turn(f"{at}.{name}_bias", 0, inner_I)
        turn(f"{at}.o_weight", 1, inner_I)
        turn(f"{mlp}.fc1_weight", 1, width_D)
        turn(f"{mlp}.fc1_weight", 0, hidden_M)
        turn(f"{mlp}.fc1_bias", 0, hidden_M)
        turn(f"{mlp}.fc2_weight", 1, hidden_M)
    return made
