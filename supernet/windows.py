"""Windows: the rectangle of patch tokens cut into squares, and tokens pooled over them.

Shapes: B images, n patch tokens, H heads, d head width, W windows an image, M tokens a window.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from search_spaces.card import Geometry
from supernet.heads import join_heads, split_heads
from supernet.tokens import TokenState


def why_no_windows(geometry: Geometry, side: int) -> str | None:
    """Why tokens cannot be cut into windows of this side, or None."""
    if geometry.grid is None:
        return "needs a grid, and a reduction before it has dissolved it"
    height, width = geometry.grid
    if height % side or width % side:
        return f"windows of {side}×{side} do not divide the grid {height}×{width}"
    if geometry.merged:
        return "tokens have merged, and windows hold tokens of one size"
    return None


def to_windows(x_BnI: Tensor, grid: tuple[int, int], side: int, head_dim: int) -> Tensor:
    """Heads inside windows, ``(B, n, H * d)`` → ``(B * W, H, M, d)``; windows image by image."""
    height, width = grid
    heads = x_BnI.shape[2] // head_dim
    x = x_BnI.reshape(-1, height // side, side, width // side, side, heads, head_dim)
    return x.permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, heads, side * side, head_dim)


def from_windows(x_WHMD: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """The inverse of ``to_windows``: ``(B * W, H, M, d)`` → ``(B, n, H * d)``."""
    height, width = grid
    heads, head_dim = x_WHMD.shape[1], x_WHMD.shape[3]
    x = x_WHMD.reshape(-1, height // side, width // side, heads, side, side, head_dim)
    return x.permute(0, 1, 4, 2, 5, 3, 6).reshape(-1, height * width, heads * head_dim)


def pool_grid(x_BnD: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """Mean over squares, ``(B, n, D)`` → ``(B, n / side², D)``."""
    if side == 1:
        return x_BnD
    height, width = grid
    x = x_BnD.reshape(-1, height // side, side, width // side, side, x_BnD.shape[2])
    return x.mean(dim=(2, 4)).flatten(1, 2)


def relative_bias(table_HSS: Tensor, side: int) -> Tensor:
    """Bias of every pair of a window, ``(H, 2w-1, 2w-1)`` → ``(1, H, w², w²)`` (Swin, eq. 4).

    Args:
        table_HSS: one bias per head and offset.
        side: the window's, w. A number: read from a shape it would be a tensor while tracing.
    """
    # An array, not a tensor, is what is cached: a tensor made while tracing would leak from it.
    index = torch.from_numpy(_relative_index(side)).to(table_HSS.device)
    bias_HK = table_HSS.flatten(1).index_select(1, index)
    return bias_HK.view(1, -1, side * side, side * side)


@lru_cache(maxsize=32)
def _relative_index(side: int) -> npt.NDArray[np.int64]:
    """Place in the flat table of every (query, key) of a window."""
    rows, columns = np.divmod(np.arange(side * side), side)
    down = rows[:, None] - rows[None] + side - 1
    right = columns[:, None] - columns[None] + side - 1
    return np.asarray(down * (2 * side - 1) + right, dtype=np.int64).ravel()


def window_attention(
    made_BNI: Iterator[Tensor],
    state: TokenState,
    side: int,
    head_dim: int,
    *,
    bias_1HMM: Tensor | None = None,
    keep: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    """Attention of patches inside their window, and of special tokens to all tokens.

    Args:
        made_BNI: queries, keys and values, made one by one so that none outlives its use.
        state: for the grid and the special tokens.
        side: of a window.
        head_dim: width of a head.
        bias_1HMM: added to the logits of a window.
        keep: whether queries, keys and values are wanted.

    Returns:
        ``(B, N, H * d)``, and ``[q, k, v]`` as ``(B, H, N, d)`` if wanted.
    """
    assert state.grid is not None
    special, windows, heads = state.special, [], []
    for x_BNI in made_BNI:
        windows.append(to_windows(x_BNI[:, special:], state.grid, side, head_dim))
        if special or keep:
            heads.append(split_heads(x_BNI, head_dim))
        del x_BNI
    q_WHMD, k_WHMD, v_WHMD = windows
    mixed_WHMD = F.scaled_dot_product_attention(q_WHMD, k_WHMD, v_WHMD, attn_mask=bias_1HMM)
    del windows, q_WHMD, k_WHMD, v_WHMD
    mixed_BNI = from_windows(mixed_WHMD, state.grid, side)
    del mixed_WHMD
    if special:
        rows_BCI = special_rows(heads[0], heads[1], heads[2], special)
        mixed_BNI = torch.cat([rows_BCI, mixed_BNI], dim=1)
    return mixed_BNI, heads if keep else []


def special_rows(q_BHND: Tensor, k_BHMD: Tensor, v_BHMD: Tensor, special: int) -> Tensor:
    """What special tokens take from all tokens: one attention row each, ``(B, C, H * d)``.

    Grid-bound attention sees patches only; this is how class tokens live beside it (a
    class-attention step, CaiT).
    """
    return join_heads(F.scaled_dot_product_attention(q_BHND[:, :, :special], k_BHMD, v_BHMD))
