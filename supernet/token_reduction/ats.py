"""ATS: sample tokens by significance, each image as many as it needs (#76, sections 3.1 and 3.2).

A token's significance is the class token's attention times the norm of its values (eq. 3); without
a class token, the mean attention it receives, else its context score, else its norm. Tokens are
sorted by it, their cumulative distribution is scaled to [0, 1], and the tokens nearest to K evenly
spaced points of it stay, each once: where few tokens hold most of it, few stay. Even significance
keeps K. The others are dropped.

A batch is as long as its image with the most tokens; what another image has less is padding, of
size 0. Where shapes must be fixed, in an exported or compiled graph, all K places are kept. The
paper leaves out the queries of dropped tokens within attention; here they go behind it, with equal
results and a few more products.
"""

from __future__ import annotations

import torch
from torch import Tensor

from search_spaces.architecture import OpSetting
from search_spaces.card import Geometry, ReductionCard
from search_spaces.workload import Kernel, Sizes, ceil_share, elementwise
from supernet.merging import follow, gone_mask, kept_positions, take_rows
from supernet.operators import Reduction, Weights
from supernet.token_reduction import REDUCTIONS
from supernet.tokens import TokenState, with_special


def most_tokens(setting: OpSetting, tokens: int) -> int:
    """The most patch tokens K that an image keeps."""
    keep, count = setting.get("keep"), setting.get("tokens")
    return int(count) if keep is None else int(ceil_share(keep, tokens))


def _rejects(geometry: Geometry, setting: OpSetting) -> str | None:
    keep, count = setting.get("keep"), setting.get("tokens")
    if (keep is None) == (count is None):
        return "needs either keep or tokens"
    if keep is not None and not 0 < keep <= 1:
        return "needs 0 < keep ≤ 1"
    most = most_tokens(setting, geometry.tokens)
    if not 2 <= most <= geometry.tokens:
        return f"needs 2 to {geometry.tokens} tokens to sample, not {most}"
    return None


def _after(geometry: Geometry, setting: OpSetting) -> Geometry:
    most = most_tokens(setting, geometry.tokens)
    return Geometry(most, None, geometry.special, merged=True)


def _kernels(before: Sizes, after: Sizes, setting: OpSetting, score: str | None) -> list[Kernel]:
    n, m, width = before.tokens, after.tokens, before.width
    x, count = n * width, setting.get("tokens")
    points = ceil_share(setting["keep"], n) if count is None else count
    return [
        elementwise("reduce", x if score is None else 0, live=x),
        elementwise("sort", 4 * n, live=6 * n),
        elementwise("sort", 3 * points * n, live=6 * n + 2 * points * n),
        elementwise("gather", 2 * m * width, live=6 * n + 2 * m * width),
    ]


@torch.no_grad()
def sampled(score_Bn: Tensor, points: int) -> Tensor:
    """1 for tokens that are nearest to a sampling point, else 0, ``(B, n)``."""
    tokens = score_Bn.shape[1]
    ascending_Bn, order_Bn = score_Bn.sort(dim=1)
    sum_Bn = ascending_Bn.cumsum(dim=1)
    first_B1, last_B1 = sum_Bn[:, :1], sum_Bn[:, -1:]
    places_n = torch.arange(tokens, device=score_Bn.device, dtype=score_Bn.dtype)
    # Without any significance behind the first token there is no distribution: an even one serves.
    share_Bn = torch.where(
        last_B1 > first_B1, (sum_Bn - first_B1) / (last_B1 - first_B1), places_n / (tokens - 1)
    )
    points_K = places_n[:points] / (points - 1)
    nearest_BK = (share_Bn[:, None] - points_K[:, None]).abs().argmin(dim=2)
    return gone_mask(order_Bn.gather(1, nearest_BK), tokens)


@REDUCTIONS.register
class AdaptiveTokenSampling(Reduction):
    """Keeps at most a share, or a number, of the tokens: as many as the image needs."""

    card = ReductionCard(
        name="ats",
        summary="sample tokens by significance, as many as each image needs",
        source="ATS (#76)",
        choices={"keep": (0.7, 0.5)},
        alternatives=("tokens",),
        rejects=_rejects,
        after=_after,
        kernels=_kernels,
        wants=("significance", "received", "context"),
        fallback="norm",
        varies=True,
    )

    def forward(
        self, state: TokenState, score: Tensor | None, w: Weights, setting: OpSetting
    ) -> TokenState:
        """See ``Reduction.forward``."""
        patches_BnD, most = state.patches_BND, most_tokens(setting, state.tokens)
        score_Bn = torch.linalg.vector_norm(patches_BnD, dim=2) if score is None else score
        picked_Bn = sampled(score_Bn.detach(), most)
        count_B1 = picked_Bn.sum(dim=1, keepdim=True)
        if not torch.compiler.is_compiling():
            most = int(count_B1.max())
        kept_Bm = kept_positions(1 - picked_Bn, most)
        here_Bm1 = (torch.arange(most, device=count_B1.device) < count_B1)[..., None]
        size_BN1 = state.sizes_BN1()
        size_Bm1 = take_rows(size_BN1[:, state.special :], kept_Bm) * here_Bm1
        size_Bm1 = torch.cat([size_BN1[:, : state.special], size_Bm1], dim=1)
        x_BND = with_special(state, take_rows(patches_BnD, kept_Bm))
        state = _track(state, picked_Bn, kept_Bm)
        return state.but(x_BND=x_BND, grid=None, size_BN1=size_Bm1)


def _track(state: TokenState, picked_Bn: Tensor, kept_Bm: Tensor) -> TokenState:
    """Centres and parents, where they are tracked."""
    if state.parent_BP is None or state.centres_BN2 is None:
        return state
    place_Bn = picked_Bn.cumsum(dim=1) - 1
    parent_BP = follow(state, place_Bn.where(picked_Bn == 1, -1))
    return state.but(parent_BP=parent_BP, centres_BN2=take_rows(state.centres_BN2, kept_Bm))
