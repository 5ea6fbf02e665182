"""Depth-wise strided pooling between stages (PiT, #38): half the grid's side, another width."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from search_spaces.architecture import OpSetting
from search_spaces.card import Geometry, ParameterSpec, TransitionCard
from search_spaces.workload import Kernel, Sizes, conv, linear
from supernet.operators import Transition, Weights
from supernet.tokens import TokenState, to_map
from supernet.transition import TRANSITIONS

STRIDE = 2
KERNEL = 3


def _rejects(geometry: Geometry, setting: OpSetting) -> str | None:
    if geometry.grid is None:
        return "needs a grid, and a reduction before it has dissolved it"
    return None


def _after(geometry: Geometry, setting: OpSetting) -> Geometry:
    assert geometry.grid is not None
    height, width = (-(-side // STRIDE) for side in geometry.grid)
    return Geometry(height * width, (height, width), geometry.special, geometry.merged)


def _parameters(setting: OpSetting) -> tuple[ParameterSpec, ...]:
    # A depth-wise convolution makes whole multiples of its input's channels; the point-wise one
    # behind it lets any width follow any other, which a searched width needs.
    return (
        ParameterSpec(name="depth_weight", shape=lambda s: (s.width_in, 1, KERNEL, KERNEL)),
        ParameterSpec(name="depth_bias", shape=lambda s: (s.width_in,), init="zeros"),
        ParameterSpec(name="point_weight", shape=lambda s: (s.width, s.width_in)),
        ParameterSpec(name="point_bias", shape=lambda s: (s.width,), init="zeros"),
    )


def _kernels(sizes: Sizes, setting: OpSetting) -> list[Kernel]:
    before = sizes.grid_in_h * sizes.grid_in_w
    n = sizes.tokens
    live = sizes.width_in * (before + n) + sizes.all_tokens * (sizes.width_in + sizes.width)
    return [
        conv(n, KERNEL * KERNEL, sizes.width_in, read=before * sizes.width_in, live=live),
        linear(sizes.all_tokens, sizes.width_in, sizes.width, live=live),
    ]


@TRANSITIONS.register
class PitTransition(Transition):
    """Patches: depth-wise 3×3 with stride 2, then a linear map; special tokens: the linear map."""

    card = TransitionCard(
        name="pit",
        summary="depth-wise 3×3 with stride 2, then a linear map to the new width",
        source="PiT (#38)",
        rejects=_rejects,
        parameters=_parameters,
        after=_after,
        kernels=_kernels,
        mixes=True,
    )

    def forward(self, state: TokenState, w: Weights, setting: OpSetting) -> TokenState:
        """See ``Transition.forward``."""
        assert state.grid is not None
        patches = state.patches_BND
        map_BDHW = to_map(patches, state.grid)
        map_BDHW = F.conv2d(
            map_BDHW,
            w["depth_weight"],
            w["depth_bias"],
            stride=STRIDE,
            padding=KERNEL // 2,
            groups=patches.shape[-1],
        )
        grid = (map_BDHW.shape[2], map_BDHW.shape[3])
        x_BND = map_BDHW.flatten(2).transpose(1, 2)
        if state.special:
            x_BND = torch.cat([state.x_BND[:, : state.special], x_BND], dim=1)
        x_BND = F.linear(x_BND, w["point_weight"], w["point_bias"])
        return _coarser(state, grid).but(x_BND=x_BND, grid=grid)


def _coarser(state: TokenState, grid: tuple[int, int]) -> TokenState:
    """Centres and parents on the coarser grid, where they are tracked."""
    assert state.grid is not None
    if state.parent_BP is None or state.centres_BN2 is None:
        return state
    old_row, old_column = state.parent_BP // state.grid[1], state.parent_BP % state.grid[1]
    parent = (old_row // STRIDE) * grid[1] + old_column // STRIDE
    centres = to_map(state.centres_BN2, state.grid)[:, :, ::STRIDE, ::STRIDE]
    centres = centres.flatten(2).transpose(1, 2)
    return state.but(parent_BP=parent, centres_BN2=centres)
