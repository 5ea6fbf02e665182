"""EViT: keep the attentive tokens, fuse the others into one (#28, section 3.2).

The ``⌈keep · n⌉`` patch tokens with the highest score stay, in spatial order; the others become
one token behind them, their sum weighted by score and not normalised (eq. 4). The score is the
class token's attention; without one, the mean attention a token receives (LTMP), the context score
of separable attention, or else its share of all tokens' norms.
"""

from __future__ import annotations

import torch
from torch import Tensor

from search_spaces.architecture import OpSetting
from search_spaces.card import Geometry, ReductionCard
from search_spaces.workload import Kernel, Sizes, ceil_share, elementwise, product
from supernet.merging import follow, gone_mask, kept_positions, new_places, take_rows
from supernet.operators import Reduction, Weights
from supernet.token_reduction import REDUCTIONS
from supernet.tokens import TokenState, with_special


def kept_tokens(setting: OpSetting, tokens: int) -> int:
    """Tokens that stay as they are, the fused one not among them."""
    return int(ceil_share(setting["keep"], tokens))


def _rejects(geometry: Geometry, setting: OpSetting) -> str | None:
    if not 0 < setting["keep"] <= 1:
        return "needs 0 < keep ≤ 1"
    kept = kept_tokens(setting, geometry.tokens)
    if setting["keep"] < 1 and kept + 1 >= geometry.tokens:
        return f"keeping {kept} of {geometry.tokens} tokens and a fused one reduces nothing"
    return None


def _after(geometry: Geometry, setting: OpSetting) -> Geometry:
    if setting["keep"] == 1:
        return geometry
    kept = kept_tokens(setting, geometry.tokens)
    return Geometry(kept + 1, None, geometry.special, geometry.merged)


def _kernels(before: Sizes, after: Sizes, setting: OpSetting, score: str | None) -> list[Kernel]:
    if setting["keep"] == 1:
        return []
    n, m, width = before.tokens, after.tokens, before.width
    x = n * width
    return [
        elementwise("reduce", x if score is None else 0, live=x),
        elementwise("sort", 6 * n, live=6 * n),
        product(1, width, n, live=6 * n + width),
        elementwise("gather", 2 * m * width, live=6 * n + 3 * m * width),
        elementwise("sizes", before.merged * (n + m)),
    ]


@REDUCTIONS.register
class EViT(Reduction):
    """Keeps a share of the tokens and fuses the others."""

    card = ReductionCard(
        name="evit",
        summary="keep the attentive tokens, fuse the others into one",
        source="EViT (#28)",
        choices={"keep": (0.7, 0.5)},
        rejects=_rejects,
        after=_after,
        kernels=_kernels,
        wants=("class", "received", "context"),
        fallback="norm",
    )

    def forward(
        self, state: TokenState, score: Tensor | None, w: Weights, setting: OpSetting
    ) -> TokenState:
        """See ``Reduction.forward``."""
        if setting["keep"] == 1:
            return state
        patches_BnD, tokens = state.patches_BND, state.tokens
        count = kept_tokens(setting, tokens)
        score_Bn = _norm_share(patches_BnD) if score is None else score
        dropped_Br = (-score_Bn.detach()).topk(tokens - count, dim=1).indices
        gone_Bn = gone_mask(dropped_Br, tokens)
        kept_Bm = kept_positions(gone_Bn, count)
        fused_B1D = (score_Bn * gone_Bn)[:, None] @ patches_BnD
        patches_BmD = torch.cat([take_rows(patches_BnD, kept_Bm), fused_B1D], dim=1)
        x_BND = with_special(state, patches_BmD)
        size_BN1 = _sizes(state, gone_Bn, kept_Bm)
        state = _track(state, gone_Bn, kept_Bm, dropped_Br)
        return state.but(x_BND=x_BND, grid=None, size_BN1=size_BN1)


def _norm_share(patches_BnD: Tensor) -> Tensor:
    """Norms that sum to 1, as attention does: the score where no attention map gives one."""
    norm_Bn: Tensor = torch.linalg.vector_norm(patches_BnD, dim=2)
    return norm_Bn / norm_Bn.sum(dim=1, keepdim=True)


def _sizes(state: TokenState, gone_Bn: Tensor, kept_Bm: Tensor) -> Tensor | None:
    """Sizes behind it, where tokens have them: the fused token stands for all it holds."""
    if state.size_BN1 is None:
        return None
    size_Bn1 = state.size_BN1[:, state.special :]
    fused_B11 = (size_Bn1 * gone_Bn[..., None]).sum(dim=1, keepdim=True)
    special_BC1 = state.size_BN1[:, : state.special]
    return torch.cat([special_BC1, take_rows(size_Bn1, kept_Bm), fused_B11], dim=1)


def _track(state: TokenState, gone_Bn: Tensor, kept_Bm: Tensor, dropped_Br: Tensor) -> TokenState:
    """Centres and parents, where they are tracked."""
    if state.parent_BP is None or state.centres_BN2 is None:
        return state
    fused = torch.full_like(dropped_Br, kept_Bm.shape[1])
    parent_BP = follow(state, new_places(gone_Bn, dropped_Br, fused))
    weight_Bn1 = state.sizes_BN1()[:, state.special :] * gone_Bn[..., None]
    middle_B12 = (state.centres_BN2 * weight_Bn1).sum(1, keepdim=True) / weight_Bn1.sum(
        1, keepdim=True
    )
    centres_Bm2 = torch.cat([take_rows(state.centres_BN2, kept_Bm), middle_B12], dim=1)
    return state.but(parent_BP=parent_BP, centres_BN2=centres_Bm2)
