"""The state that flows between blocks.

Shapes: B images, N tokens (special ones first), D width, P original patches, C special tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenState:
    """Tokens and what is known of them. Operators return a new state, they never write into one.

    Attributes:
        x_BND: the residual stream, special tokens first.
        special: number of special tokens C.
        grid: (height, width) of the rectangle the patch tokens form, or None.
        size_BN1: how many patches each token stands for, counted in those that had a token when
            merging began; None where all stand for equally many. 0 is padding: a token that this
            image has not, beside images that have more.
        centres_BN2: centre (y, x) of each patch token in [0, 1]², special tokens excluded; None
            unless tracked.
        parent_BP: index of the patch token each original patch ended in, -1 where dropped; None
            unless tracked.
        extras: what a stage's operators share, by name.
    """

    x_BND: Tensor
    special: int = 0
    grid: tuple[int, int] | None = None
    size_BN1: Tensor | None = None
    centres_BN2: Tensor | None = None
    parent_BP: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def patches_BND(self) -> Tensor:
        """The tokens behind the special ones."""
        return self.x_BND[:, self.special :] if self.special else self.x_BND

    @property
    def tokens(self) -> int:
        """Number of patch tokens."""
        return self.x_BND.shape[1] - self.special

    def but(self, **changes: Any) -> TokenState:
        """The same state with some fields changed."""
        return replace(self, **changes)

    def sizes_BN1(self) -> Tensor:
        """``size_BN1``, written out where all tokens stand for equally many patches."""
        if self.size_BN1 is not None:
            return self.size_BN1
        return self.x_BND.new_ones((*self.x_BND.shape[:2], 1))

    def key_bias_B11N(self) -> Tensor | None:
        """What is added to attention logits per key: log size (proportional attention, ToMe
        eq. 1), so minus infinity for padding. None where it is zero.
        """
        if self.size_BN1 is None:
            return None
        return self.size_BN1[..., 0].log()[:, None, None, :]


def to_map(x_BND: Tensor, grid: tuple[int, int]) -> Tensor:
    """Tokens in raster order ``(B, H·W, D)`` as a map ``(B, D, H, W)``, channels last in memory."""
    # Split before transposed: else the strides of a single image do not say "channels last", and
    # a convolution copies it twice.
    return x_BND.reshape(x_BND.shape[0], *grid, x_BND.shape[2]).permute(0, 3, 1, 2)


def with_special(state: TokenState, patches_BND: Tensor) -> Tensor:
    """Put the special tokens of ``state`` back in front of changed patch tokens."""
    if state.special == 0:
        return patches_BND
    return torch.cat([state.x_BND[:, : state.special], patches_BND], dim=1)


def track(state: TokenState) -> TokenState:
    """Begin to track centres and parents; the tokens must still form their first grid."""
    if state.grid is None:
        raise ValueError("tracking begins at the embedding, where tokens form a grid")
    height, width = state.grid
    x = state.x_BND
    rows = (torch.arange(height, device=x.device, dtype=x.dtype) + 0.5) / height
    columns = (torch.arange(width, device=x.device, dtype=x.dtype) + 0.5) / width
    centres = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).reshape(1, -1, 2)
    parent = torch.arange(height * width, device=x.device)[None]
    count = x.shape[0]
    return state.but(centres_BN2=centres.expand(count, -1, -1), parent_BP=parent.expand(count, -1))
