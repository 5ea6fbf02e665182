"""Average pooling on the grid between two blocks; the grid stays one (HVT, #39, in 2-D)."""

from __future__ import annotations

import torch
from torch import Tensor

from search_spaces.architecture import OpSetting
from search_spaces.card import Geometry, ReductionCard
from search_spaces.workload import Kernel, Sizes, elementwise
from supernet.merging import follow
from supernet.operators import Reduction, Weights
from supernet.token_reduction import REDUCTIONS
from supernet.tokens import TokenState, with_special
from supernet.windows import pool_grid, why_no_windows


def _rejects(geometry: Geometry, setting: OpSetting) -> str | None:
    if setting["stride"] < 1:
        return "needs stride ≥ 1"
    return None if setting["stride"] == 1 else why_no_windows(geometry, setting["stride"])


def _after(geometry: Geometry, setting: OpSetting) -> Geometry:
    if setting["stride"] == 1:
        return geometry
    assert geometry.grid is not None
    height, width = (side // setting["stride"] for side in geometry.grid)
    return Geometry(height * width, (height, width), geometry.special, geometry.merged)


def _kernels(before: Sizes, after: Sizes, setting: OpSetting, score: str | None) -> list[Kernel]:
    if setting["stride"] == 1:
        return []
    made = after.all_tokens * before.width
    return [elementwise("pool", (before.tokens + after.tokens) * before.width, live=made)]


@REDUCTIONS.register
class Pool2d(Reduction):
    """Squares of tokens become their mean; special tokens bypass it."""

    card = ReductionCard(
        name="pool2d",
        summary="average pooling on the grid, which stays a grid",
        source="HVT (#39)",
        choices={"stride": (2,)},
        rejects=_rejects,
        after=_after,
        kernels=_kernels,
        hook="between_blocks",
    )

    def forward(
        self, state: TokenState, score: Tensor | None, w: Weights, setting: OpSetting
    ) -> TokenState:
        """See ``Reduction.forward``."""
        stride = setting["stride"]
        if stride == 1:
            return state
        assert state.grid is not None
        pooled_BmD = pool_grid(state.patches_BND, state.grid, stride)
        height, width = state.grid
        x_BND = with_special(state, pooled_BmD)
        state = _track(state, stride)
        return state.but(x_BND=x_BND, grid=(height // stride, width // stride))


def _track(state: TokenState, stride: int) -> TokenState:
    """Centres and parents, where they are tracked."""
    if state.parent_BP is None or state.centres_BN2 is None:
        return state
    assert state.grid is not None
    height, width = state.grid
    old_n = torch.arange(height * width, device=state.x_BND.device)
    moved_n = old_n // width // stride * (width // stride) + old_n % width // stride
    return state.but(
        parent_BP=follow(state, moved_n.expand(state.x_BND.shape[0], -1)),
        centres_BN2=pool_grid(state.centres_BN2, state.grid, stride),
    )
