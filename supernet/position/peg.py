"""Positional encoding generator (CPVT, #100): a depth-wise 3×3 behind the first block.

The zero padding is what tells tokens where they are, so one set of weights serves every grid.
"""

from __future__ import annotations

import numpy as np
from torch.nn import functional as F

from search_spaces.architecture import OpSetting
from search_spaces.card import ParameterSpec, PositionCard
from search_spaces.workload import Kernel, Sizes, conv
from supernet.operators import Position, Weights
from supernet.position import POSITIONS
from supernet.tokens import TokenState, to_map, with_special


def _parameters(setting: OpSetting) -> tuple[ParameterSpec, ...]:
    return (
        ParameterSpec(name="weight", shape=lambda s: (s.width, 1, 3, 3)),
        ParameterSpec(name="bias", shape=lambda s: (s.width,), init="zeros"),
    )


def _kernels(sizes: Sizes, setting: OpSetting) -> list[Kernel]:
    made, stream = sizes.tokens * sizes.width, sizes.all_tokens * sizes.width
    # The sum behind it holds the most, unless the kernel, which is reordered, is larger.
    reordered = np.maximum(9 * sizes.width - stream, 0)
    return [conv(sizes.tokens, 9, sizes.width, read=made, live=made + stream, scratch=reordered)]


@POSITIONS.register
class Peg(Position):
    """``x + dw3×3(x)`` on the patch tokens; special tokens bypass it."""

    card = PositionCard(
        name="peg",
        summary="depth-wise 3×3 behind the first block, for any grid",
        source="CPVT (#100)",
        parameters=_parameters,
        kernels=_kernels,
        after_block=0,
        needs_grid=True,
    )

    def forward(self, state: TokenState, w: Weights, setting: OpSetting) -> TokenState:
        """See ``Position.forward``."""
        assert state.grid is not None
        patches = state.patches_BND
        map_BDHW = to_map(patches, state.grid)
        made_BDHW = F.conv2d(map_BDHW, w["weight"], w["bias"], padding=1, groups=patches.shape[-1])
        patches = patches + made_BDHW.flatten(2).transpose(1, 2)
        del made_BDHW
        return state.but(x_BND=with_special(state, patches))
