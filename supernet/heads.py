"""Heads, and the scores that attention hands to token reductions.

Fused attention keeps no map. A score that needs one recomputes just the rows it needs, and its
kernels are counted.
"""

from __future__ import annotations

import torch
from torch import Tensor

from search_spaces.workload import Count, Kernel, Sizes, beside, elementwise, product


def split_heads(x_BNI: Tensor, head_dim: int) -> Tensor:
    """``(B, N, heads * d)`` → ``(B, heads, N, d)``."""
    batch, tokens, inner = x_BNI.shape
    return x_BNI.view(batch, tokens, inner // head_dim, head_dim).transpose(1, 2)


def join_heads(x_BHND: Tensor) -> Tensor:
    """``(B, heads, N, d)`` → ``(B, N, heads * d)``."""
    return x_BHND.transpose(1, 2).flatten(2)


def attention_score(
    wants: str | None,
    q_BHND: Tensor,
    k_BHND: Tensor,
    bias_B11N: Tensor | None,
    special: int,
    v_BHND: Tensor | None = None,
) -> Tensor | None:
    """The score a reduction asked for, from queries, keys and values.

    Args:
        wants: ``class`` (mean over heads of the class token's attention, EViT eq. 3),
            ``significance`` (that times the norm of the token's values, ATS eq. 3, not divided by
            its sum), ``received`` (mean over heads and queries, LTMP), ``key_mean`` (mean over
            heads of the keys, ToMe) or None.
        q_BHND: queries.
        k_BHND: keys.
        bias_B11N: what was added to the logits, or None.
        special: special tokens in front.
        v_BHND: values, which ``significance`` needs.

    Returns:
        ``(B, n)`` over patch tokens, for ``key_mean`` ``(B, N, d)``, or None.
    """
    if wants is None:
        return None
    if wants == "key_mean":
        return k_BHND.mean(dim=1)
    q_BHQD = q_BHND if wants == "received" else q_BHND[:, :, :1]
    logits_BHQN = q_BHQD @ k_BHND.transpose(-2, -1) * q_BHND.shape[-1] ** -0.5
    if bias_B11N is not None:
        logits_BHQN = logits_BHQN + bias_B11N
    received_BN: Tensor = logits_BHQN.softmax(dim=-1).mean(dim=(1, 2))
    if wants == "significance" and v_BHND is not None:
        received_BN = received_BN * torch.linalg.vector_norm(v_BHND, dim=(1, 3))
    return received_BN[:, special:]


def score_size(sizes: Sizes, wants: str | None) -> Count:
    """Elements of a score."""
    if wants is None:
        return 0
    return sizes.all_tokens * sizes.head_dim if wants == "key_mean" else sizes.tokens


def score_kernels(sizes: Sizes, wants: str | None, *, live: Count) -> list[Kernel]:
    """The work behind ``attention_score`` for attention over all tokens."""
    n, heads = sizes.all_tokens, sizes.heads
    if wants is None:
        return []
    if wants == "key_mean":
        return [elementwise("reduce", n * sizes.inner + n * sizes.head_dim, live=live)]
    queries = n if wants == "received" else 1
    maps = heads * queries * n
    # Batched products read heads as contiguous matrices; those of a single image are.
    copied = (queries + n) * sizes.inner
    logits = product(queries, n, sizes.head_dim, repeat=heads, live=live + maps + copied)
    made = n * sizes.inner if wants == "significance" else 0
    return [
        *beside(-copied, [logits]),
        elementwise("softmax", 4 * maps, live=live + 2 * maps),
        elementwise("reduce", made, live=live + 2 * maps),
    ]
