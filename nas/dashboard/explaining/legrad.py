"""Which patches speak for a class: LeGrad (Bousselham et al., 2024, section 3), layer by layer.

For block l the score of the class is read from the tokens behind it; the gradient with respect to
the block's attention map, negative parts cut off, is averaged over heads and queries and belongs to
the keys. Attention that has no map over all tokens (windows, separable, none) gives
``relu(x · ∂score/∂x)`` of the block's output tokens instead. Every layer counts alike.

Shapes: B images, N tokens, D width, H heads, P original patches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from supernet.extract import VisionTransformer
from supernet.forward import head
from supernet.tokens import TokenState


class AttentionMaps(TorchFunctionMode):
    """Computes attention with its map, which fused kernels never hold, and keeps the maps."""

    def __init__(self) -> None:
        super().__init__()
        self.maps: list[Tensor] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        query, key, value = args[:3]
        mask = kwargs.get("attn_mask", args[3] if len(args) > 3 else None)
        scale = kwargs.get("scale") or query.shape[-1] ** -0.5
        logits = query @ key.transpose(-2, -1) * scale
        weights = (logits if mask is None else logits + mask).softmax(dim=-1)
        self.maps.append(weights)
        return weights @ value


@dataclass(frozen=True)
class Relevance:
    """Where a model looks.

    Attributes:
        patches_BP: relevance of each original patch, in [0, 1], the greatest of an image is 1.
        how: for each block ``attention map`` or ``tokens``.
        logits_BK: of the whole model.
        states: the tokens behind each block.
        grid: (rows, columns) of the patches.
    """

    patches_BP: Tensor
    how: tuple[str, ...]
    logits_BK: Tensor
    states: tuple[TokenState, ...]
    grid: tuple[int, int]


def relevance(model: VisionTransformer, images_BCHW: Tensor) -> Relevance:
    """LeGrad of the predicted class.

    Args:
        model: in eval mode.
        images_BCHW: normalised.
    """
    architecture = model.architecture
    depth = architecture.depth
    images_BCHW = images_BCHW.detach().requires_grad_(True)
    with torch.enable_grad(), AttentionMaps() as caught:
        features = model.forward_features(images_BCHW, range(depth), tracked=True)
        logits_BK = head(features.state, model._network, model._weights)
        classes_B = logits_BK.argmax(dim=1)
    states = tuple(features.taps[index] for index in range(depth))
    height, width = architecture.image_size
    grid = height // architecture.patch_size, width // architecture.patch_size
    patches_BP = images_BCHW.new_zeros((len(images_BCHW), grid[0] * grid[1]))
    taken, how = 0, []
    for index, state in enumerate(states):
        score = _score(model, state, logits_BK, classes_B)
        grads = torch.autograd.grad(
            score, [state.x_BND, *caught.maps], retain_graph=True, allow_unused=True
        )
        used = sum(grad is not None for grad in grads[1:])
        tokens_Bn, place = _layer(states, index, grads[0], grads[1 + taken : 1 + used])
        taken = max(taken, used)
        how.append("tokens" if place == index else "attention map")
        layer_BP = _on_patches(tokens_Bn, states[place].parent_BP if place >= 0 else None)
        patches_BP += layer_BP / layer_BP.sum(dim=1, keepdim=True).clamp(min=1e-12)
    top_B1 = patches_BP.amax(dim=1, keepdim=True).clamp(min=1e-12)
    return Relevance(patches_BP / top_B1, tuple(how), logits_BK.detach(), states, grid)


def _score(
    model: VisionTransformer, state: TokenState, logits_BK: Tensor, classes_B: Tensor
) -> Tensor:
    """The class' score read behind a block; from the model's end where widths differ."""
    if state.x_BND.shape[-1] == model.architecture.stages[-1].width:
        with torch.enable_grad():
            logits_BK = head(state, model._network, model._weights)
    return logits_BK.gather(1, classes_B[:, None]).sum()


def _layer(
    states: Sequence[TokenState], index: int, grad_BND: Tensor | None, maps: Sequence[Tensor | None]
) -> tuple[Tensor, int]:
    """Relevance of the patch tokens, and behind which block they stand (-1: the embedding)."""
    before = states[index - 1] if index else None
    tokens = None if before is None else before.x_BND.shape[1]
    batch = states[index].x_BND.shape[0]
    special = states[index].special
    if len(maps) == 1 and maps[0] is not None:
        grad_BHNN = maps[0]
        rows, columns = grad_BHNN.shape[-2:]
        if grad_BHNN.shape[0] == batch and rows == columns and tokens in (None, rows):
            return grad_BHNN.relu().mean(dim=(1, 2))[:, special:], index - 1
    x_BND = states[index].x_BND
    if grad_BND is None:
        return x_BND.new_zeros((batch, x_BND.shape[1] - special)), index
    return (x_BND * grad_BND).sum(dim=-1).relu().detach()[:, special:], index


def _on_patches(tokens_Bn: Tensor, parent_BP: Tensor | None) -> Tensor:
    """A token's relevance for every patch it stands for; 0 for patches that are gone."""
    if parent_BP is None:
        return tokens_Bn.detach()
    values_BP = tokens_Bn.gather(1, parent_BP.clamp(min=0))
    return values_BP.where(parent_BP >= 0, torch.zeros_like(values_BP)).detach()
