"""Attention with relative positions in two dimensions, as products with small tables.

For a query at row r and column c and a key at row s and column t (keys and values alike):

    logit = q · (k + K_rows[s − r] + K_columns[t − c]) / √d
    out   = Σ p · (v + V_rows[s − r] + V_columns[t − c])

A gathered table of all pairs would have N × N × d entries. But q · K_rows[s − r] depends on the
key's row alone, so it is a product of q with H vectors; and Σ p · V_rows[s − r] needs only the sum
of p over each row of keys. Both are one fused attention: queries get these H + W products as
further channels, keys and values get the indicators of their row and column, and all get as many
zeros as make the channels a multiple of eight: kernels of other widths cost a fifth more. No map of
N × N is ever held.

Shapes: B images, H heads, N tokens, d head width, r and s rows, c and t columns, E further
channels. Pairs with a special token have a vector of their own (AutoFormer's row 0).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from search_spaces.workload import (
    Count,
    Kernel,
    Sizes,
    attention,
    beside,
    elementwise,
    only,
    product,
)

_MULTIPLE = 8


def relative_attention(
    q_BHND: Tensor,
    k_BHND: Tensor,
    v_BHND: Tensor,
    w: Mapping[str, Tensor],
    grid: tuple[int, int],
    special: int,
    bias_B11N: Tensor | None,
) -> Tensor:
    """Softmax attention with relative positions.

    Args:
        q_BHND, k_BHND, v_BHND: heads; special tokens first, then patches in raster order.
        w: ``relative_{k,v}_{rows,columns}`` ``(2·reach + 1, d)``, ``relative_{k,v}_special``
            ``(2, d)`` or ``(0, d)``.
        grid: rows and columns.
        special: special tokens.
        bias_B11N: what is added to the logits per key, or None.

    Returns:
        ``(B, H, N, d)``.
    """
    head_dim = q_BHND.shape[3]
    near_BHNE = _near_keys(q_BHND, w, grid, special)
    q_BHNE = torch.cat([q_BHND, near_BHNE], dim=3)
    del near_BHNE
    places_11NE = _places(q_BHND, grid, special).expand(*k_BHND.shape[:3], -1)
    out_BHNE = F.scaled_dot_product_attention(
        q_BHNE,
        torch.cat([k_BHND, places_11NE], dim=3),
        torch.cat([v_BHND, places_11NE], dim=3),
        attn_mask=bias_B11N,
        scale=head_dim**-0.5,
    )
    del q_BHNE
    widths = (head_dim, out_BHNE.shape[3] - head_dim)
    mixed_BHND, share_BHNE = torch.split_with_sizes(out_BHNE, widths, dim=3)
    return mixed_BHND + _near_values(share_BHNE, w, grid, special)


def _near_keys(
    q_BHND: Tensor, w: Mapping[str, Tensor], grid: tuple[int, int], special: int
) -> Tensor:
    """Products of the queries with the vectors of every row, every column and special tokens."""
    q_BHrcD = q_BHND[:, :, special:].reshape(*q_BHND.shape[:2], *grid, -1)
    rows_rsD, columns_ctD = _by_pair(w["relative_k_rows"], w["relative_k_columns"], grid)
    parts = [
        _along(q_BHrcD, rows_rsD.transpose(1, 2), 2),
        _along(q_BHrcD, columns_ctD.transpose(1, 2), 3),
    ]
    if special:
        parts.append(q_BHND[:, :, special:] @ w["relative_k_special"].sum(0)[:, None])
    near_BHnE = torch.cat(parts, dim=3)
    # A special query has one vector for all keys: a constant, which a softmax does not see.
    return F.pad(near_BHnE, (0, _padding(q_BHND.shape[3], near_BHnE.shape[3]), special, 0))


def _near_values(
    share_BHNE: Tensor, w: Mapping[str, Tensor], grid: tuple[int, int], special: int
) -> Tensor:
    """The vectors of rows, columns and special tokens, weighted by the attention they got."""
    height, width = grid
    rows_rsD, columns_ctD = _by_pair(w["relative_v_rows"], w["relative_v_columns"], grid)
    share_BHrcE = share_BHNE[:, :, special:].reshape(*share_BHNE.shape[:2], *grid, -1)
    made_BHnD = _along(share_BHrcE[..., :height], rows_rsD, 2)
    made_BHnD = made_BHnD + _along(share_BHrcE[..., height : height + width], columns_ctD, 3)
    if not special:
        return made_BHnD
    special_1D = w["relative_v_special"].sum(0, keepdim=True)
    made_BHnD = made_BHnD + share_BHNE[:, :, special:, height + width, None] @ special_1D
    batch, heads = made_BHnD.shape[:2]
    return torch.cat([special_1D.expand(batch, heads, special, -1), made_BHnD], dim=2)


def _along(x_BHrcK: Tensor, by_place: Tensor, axis: int) -> Tensor:
    """Each row's (axis 2) or column's (axis 3) own product: ``(B, H, r, c, K)`` times a matrix
    ``(K, M)`` a place → ``(B, H, n, M)``.
    """
    turned = x_BHrcK.movedim(axis, 0)
    made: Tensor = torch.bmm(turned.flatten(1, 3), by_place)
    return made.reshape(*turned.shape[:4], -1).movedim(0, axis).flatten(2, 3)


def _by_pair(rows: Tensor, columns: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Tables by distance ``(2·reach + 1, d)`` → by pair, ``(H, H, d)`` and ``(W, W, d)``."""
    found = []
    for table, side in zip((rows, columns), grid, strict=True):
        reach = len(table) // 2
        place = torch.arange(side, device=table.device)
        distance = (place[None, :] - place[:, None]).clamp(-reach, reach)
        found.append(table[distance + reach])
    return found[0], found[1]


def _places(like: Tensor, grid: tuple[int, int], special: int) -> Tensor:
    """Indicators ``(N, E)``: a patch's row and column, and whether a token is special."""
    height, width = grid
    rows = torch.eye(height, dtype=like.dtype, device=like.device).repeat_interleave(width, dim=0)
    columns = torch.eye(width, dtype=like.dtype, device=like.device).repeat(height, 1)
    places_nE = torch.cat([rows, columns], dim=1)
    more = min(special, 1)
    spare = _padding(like.shape[3], height + width + more)
    places_nE = F.pad(places_nE, (0, more + spare))
    if not special:
        return places_nE
    special_CE = F.pad(like.new_ones(special, 1), (height + width, spare))
    return torch.cat([special_CE, places_nE])


def _padding(head_dim: int, more: int) -> int:
    """Channels of zeros behind ``more`` further ones."""
    return -(head_dim + more) % _MULTIPLE


def relative_kernels(sizes: Sizes, *, live: Count) -> list[Kernel]:
    """The work of ``relative_attention``; ``live`` holds queries, keys and values."""
    n, d, heads = sizes.tokens, sizes.head_dim, sizes.heads
    height, width = sizes.grid_h, sizes.grid_w
    special = np.minimum(sizes.special, 1)
    more = height + width + special
    more = more + -(d + more) % _MULTIPLE
    near, made = sizes.all_tokens * heads * more, sizes.all_tokens * sizes.inner
    table = (height * height + width * width) * d
    turned = n * sizes.inner  # one axis is brought in front
    by_row, by_column = n * heads * height, n * heads * width
    wide = made + near
    first = [
        elementwise("gather", 2 * table, weights=table, live=live),
        product(width * heads, height, d, repeat=height, live=live + turned + by_row),
        product(height * heads, width, d, repeat=width, live=live + by_row + turned + by_column),
        *only(special, product(n * heads, 1, d, live=live + 2 * near)),
    ]
    mixing = [
        elementwise("gather", 2 * near + 3 * wide, live=live + 2 * near + wide),
        attention(heads, sizes.all_tokens, sizes.all_tokens, d + more, live=live + 4 * wide),
    ]
    kept = live + wide
    last = [
        elementwise("gather", 2 * table, weights=table, live=kept),
        product(width * heads, d, height, repeat=height, live=kept + by_row + 2 * turned),
        product(height * heads, d, width, repeat=width, live=kept + by_column + 3 * turned),
        *only(special, product(n * heads, d, 1, live=kept + 3 * made)),
        elementwise("add", 3 * made, live=kept + 2 * made),
    ]
    return [*beside(table, first), *mixing, *beside(table, last)]
