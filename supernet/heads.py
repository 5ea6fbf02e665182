"""Heads, and the scores that attention hands to token reductions.

Fused attention keeps no map. A score that needs one recomputes just the rows it needs, and its
kernels are counted.
"""

from __future__ import annotations

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
) -> Tensor | None:
    """The score a reduction asked for, from queries and keys.

    Args:
        wants: ``class`` (mean over heads of the class token's attention, EViT eq. 3),
            ``received`` (mean over heads and queries, LTMP), ``key_mean`` (mean over heads of the
            keys, ToMe) or None.
        q_BHND: queries.
        k_BHND: keys.
        bias_B11N: what was added to the logits, or None.
        special: special tokens in front.

    Returns:
        ``(B, n)`` over patch tokens, for ``key_mean`` ``(B, N, d)``, or None.
    """
    if wants is None:
        return None
    if wants == "key_mean":
        return k_BHND.mean(dim=1)
    q_BHQD = q_BHND[:, :, :1] if wants == "class" else q_BHND
    logits_BHQN = q_BHQD @ k_BHND.transpose(-2, -1) * q_BHND.shape[-1] ** -0.5
    if bias_B11N is not None:
        logits_BHQN = logits_BHQN + bias_B11N
    received_BN: Tensor = logits_BHQN.softmax(dim=-1).mean(dim=(1, 2))
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
    queries = 1 if wants == "class" else n
    maps = heads * queries * n
    # Batched products read heads as contiguous matrices; those of a single image are.
    copied = (queries + n) * sizes.inner
    logits = product(queries, n, sizes.head_dim, repeat=heads, live=live + maps + copied)
    return [
        *beside(-copied, [logits]),
        elementwise("softmax", 4 * maps, live=live + 2 * maps),
    ]
