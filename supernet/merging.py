"""Choosing tokens and moving them: what the reductions that dissolve the grid share.

Choices are made without gradient; what is moved keeps its own. Kept tokens stay in spatial order,
so that a later parity split (ToMe) still pairs neighbours.

Shapes: B images, n patch tokens in front, m behind, D width, P original patches.
"""

from __future__ import annotations

import torch
from torch import Tensor

from supernet.tokens import TokenState


def take_rows(x_BnD: Tensor, index_Bm: Tensor) -> Tensor:
    """``out[b, i] = x[b, index[b, i]]``, copied by whole rows."""
    batch, tokens, width = x_BnD.shape
    first_B1 = torch.arange(batch, device=x_BnD.device)[:, None] * tokens
    rows_BmD = x_BnD.reshape(batch * tokens, width).index_select(0, (index_Bm + first_B1).flatten())
    return rows_BmD.view(batch, -1, width)


def gone_mask(index_Br: Tensor, tokens: int) -> Tensor:
    """1 at the positions of ``index_Br``, else 0, ``(B, n)`` integers."""
    zeros_Bn = index_Br.new_zeros((index_Br.shape[0], tokens))
    return zeros_Bn.scatter(1, index_Br, torch.ones_like(index_Br))


def kept_positions(gone_Bn: Tensor, count: int) -> Tensor:
    """The ``count`` positions with a 0, ascending, ``(B, m)``.

    By ``topk`` of distinct keys: it exports, has no ties, and needs no data-dependent shape.
    """
    tokens = gone_Bn.shape[1]
    # Keys fall with the position and are positive exactly where the token stays.
    falling_n = torch.arange(tokens, 0, -1, device=gone_Bn.device)
    return (falling_n - gone_Bn * tokens).topk(count, dim=1).indices


def follow(state: TokenState, moved_Bn: Tensor) -> Tensor | None:
    """Where the original patches are, after token i went to ``moved_Bn[:, i]``; -1 stays -1."""
    if state.parent_BP is None:
        return None
    parent = state.parent_BP
    return moved_Bn.gather(1, parent.clamp(min=0)).where(parent >= 0, parent)


def new_places(gone_Bn: Tensor, index_Br: Tensor, target_Br: Tensor) -> Tensor:
    """The new position of every token, ``(B, n)``: gone ones went to their targets."""
    kept = torch.arange(gone_Bn.shape[1], device=gone_Bn.device) - gone_Bn.cumsum(dim=1)
    return kept.scatter(1, index_Br, target_Br)
