"""ToMe: bipartite soft matching merges the most similar tokens (Bolya et al., section 3).

Patch tokens at even places (a) look for the most similar one at odd places (b), by the cosine of
their mean keys. The r closest pairs become one token, the mean weighted by the patches each stands
for; later attention adds log size to its logits (eq. 1). Special tokens take no part. What stays
keeps its spatial order.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from search_spaces.architecture import OpSetting
from search_spaces.card import Geometry, ReductionCard
from search_spaces.workload import Kernel, Sizes, ceil_div, ceil_share, elementwise, product
from supernet.merging import follow, gone_mask, kept_positions, new_places, take_rows
from supernet.operators import Reduction, Weights
from supernet.token_reduction import REDUCTIONS
from supernet.tokens import TokenState, with_special


def merges(setting: OpSetting, tokens: int) -> int:
    """Number of merges r of n patch tokens."""
    keep, r = setting.get("keep"), setting.get("r")
    return int(r) if keep is None else int(tokens - ceil_share(keep, tokens))


def _rejects(geometry: Geometry, setting: OpSetting) -> str | None:
    keep, r = setting.get("keep"), setting.get("r")
    if (keep is None) == (r is None):
        return "needs either keep or r"
    if (keep is not None and not 0 < keep <= 1) or (r is not None and r < 0):
        return "needs 0 < keep ≤ 1, or r ≥ 0"
    count, most = merges(setting, geometry.tokens), geometry.tokens // 2
    if count > most:
        return f"{count} merges are more than the {most} pairs of {geometry.tokens} tokens"
    if count == 0 and keep not in (None, 1):
        return f"it merges none of {geometry.tokens} tokens"
    return None


def _after(geometry: Geometry, setting: OpSetting) -> Geometry:
    count = merges(setting, geometry.tokens)
    if count == 0:
        return geometry
    return Geometry(geometry.tokens - count, None, geometry.special, merged=True)


def _kernels(before: Sizes, after: Sizes, setting: OpSetting, score: str | None) -> list[Kernel]:
    n, m, width = before.tokens, after.tokens, before.width
    r, even, odd = n - m, ceil_div(n, 2), n // 2
    merging = r > 0
    metric = (before.head_dim if score == "key_mean" else width) * merging
    pairs = even * odd * merging
    held, row = n * metric, width + 1
    given = held if score == "key_mean" else 0 * held
    return [
        elementwise("ones", n * (1 - before.merged) * merging),
        elementwise("norm", 2 * held, live=given + 2 * held),
        product(even * merging, odd * merging, metric, live=given + 2 * held + pairs),
        elementwise("sort", pairs + n * merging, live=given + held + pairs + 4 * n),
        product(odd * merging, row, r, live=given + (n + odd + r) * row + odd * r + 4 * n),
        elementwise(
            "gather", 2 * m * width * merging, live=given + (2 * n + odd + m) * row + 8 * n
        ),
    ]


@dataclass(frozen=True, slots=True)
class Matching:
    """Who merges with whom.

    Attributes:
        source_Br: places among the even tokens that are merged away.
        target_Br: places among the odd tokens they join.
        kept_Bm: places of the tokens that stay, ascending.
        gone_Bn: 1 where a token is merged away.
    """

    source_Br: Tensor
    target_Br: Tensor
    kept_Bm: Tensor
    gone_Bn: Tensor


@torch.no_grad()
def match(metric_BnK: Tensor, count: int) -> Matching:
    """The ``count`` most similar pairs of an even token and its best odd one."""
    tokens = metric_BnK.shape[1]
    unit_BnK = F.normalize(metric_BnK, dim=-1)
    similar_BEO = unit_BnK[:, ::2] @ unit_BnK[:, 1::2].transpose(1, 2)
    best_BE, partner_BE = similar_BEO.max(dim=2)
    source_Br = best_BE.topk(count, dim=1).indices
    gone_Bn = gone_mask(2 * source_Br, tokens)
    kept_Bm = kept_positions(gone_Bn, tokens - count)
    return Matching(source_Br, partner_BE.gather(1, source_Br), kept_Bm, gone_Bn)


def merge(x_BnD: Tensor, size_Bn1: Tensor, matching: Matching) -> tuple[Tensor, Tensor]:
    """Means weighted by size, and the sizes' sums: ``(B, m, D)`` and ``(B, m, 1)``."""
    sum_BnE = torch.cat([x_BnD * size_Bn1, size_Bn1], dim=2)
    even_BaE, odd_BbE = sum_BnE[:, ::2], sum_BnE[:, 1::2]
    odd_BbE = odd_BbE + _joins(matching, odd_BbE) @ take_rows(even_BaE, matching.source_Br)
    kept = matching.kept_Bm
    odd_first = even_BaE.shape[1]
    sum_BmE = take_rows(torch.cat([even_BaE, odd_BbE], dim=1), kept // 2 + kept % 2 * odd_first)
    size_Bm1 = sum_BmE[..., -1:].contiguous()  # a view would keep all the sums alive
    return sum_BmE[..., :-1] / size_Bm1, size_Bm1


def _joins(matching: Matching, odd_BbE: Tensor) -> Tensor:
    """1 where a merged token joins an odd one, ``(B, b, r)``.

    A product with it rather than a scatter: it exports, and adds up in a fixed order everywhere.
    """
    places_b = torch.arange(odd_BbE.shape[1], device=odd_BbE.device)
    return (places_b[:, None] == matching.target_Br[:, None]).to(odd_BbE.dtype)


@REDUCTIONS.register
class ToMe(Reduction):
    """Merges pairs of similar tokens; ``keep`` is the share that stays, ``r`` the merges."""

    card = ReductionCard(
        name="tome",
        summary="merge the most similar pairs of tokens",
        source="ToMe",
        choices={"keep": (0.75, 0.5)},
        alternatives=("r",),
        rejects=_rejects,
        after=_after,
        kernels=_kernels,
        wants=("key_mean",),
        fallback="tokens",
    )

    def forward(
        self, state: TokenState, score: Tensor | None, w: Weights, setting: OpSetting
    ) -> TokenState:
        """See ``Reduction.forward``; ``score`` is ``key_mean`` over all tokens."""
        count = merges(setting, state.tokens)
        if count == 0:
            return state
        metric = state.patches_BND if score is None else score[:, state.special :]
        matching = match(metric, count)
        size_BN1 = state.sizes_BN1()
        size_Bn1 = size_BN1[:, state.special :]
        patches_BmD, merged_Bm1 = merge(state.patches_BND, size_Bn1, matching)
        x_BND = with_special(state, patches_BmD)
        if state.special:
            merged_Bm1 = torch.cat([size_BN1[:, : state.special], merged_Bm1], dim=1)
        state = _track(state, size_Bn1, matching)
        return state.but(x_BND=x_BND, grid=None, size_BN1=merged_Bm1)


def _track(state: TokenState, size_Bn1: Tensor, matching: Matching) -> TokenState:
    """Centres and parents, where they are tracked."""
    if state.parent_BP is None or state.centres_BN2 is None:
        return state
    gone, target = matching.gone_Bn, 2 * matching.target_Br + 1
    target_Br = target - gone.cumsum(dim=1).gather(1, target)
    moved_Bn = new_places(gone, 2 * matching.source_Br, target_Br)
    centres_Bm2, _ = merge(state.centres_BN2, size_Bn1, matching)
    return state.but(parent_BP=follow(state, moved_Bn), centres_BN2=centres_Bm2)
