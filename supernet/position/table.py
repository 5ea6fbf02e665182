"""A learned table of absolute positions (ViT), one row a token, resampled to other grids."""

from __future__ import annotations

import numpy as np
import torch

from search_spaces.architecture import OpSetting
from search_spaces.card import ParameterSpec, PositionCard
from search_spaces.workload import Kernel, Sizes, beside, elementwise
from supernet.operators import Position, Weights
from supernet.position import POSITIONS
from supernet.tokens import TokenState


def table_parameters(setting: OpSetting) -> tuple[ParameterSpec, ...]:
    """The rows of patches, by grid, and those of special tokens."""
    return (
        ParameterSpec(
            name="table",
            shape=lambda s: (s.grid_h, s.grid_w, s.width),
            init="normal",
            rule="grid",
        ),
        ParameterSpec(name="special", shape=lambda s: (s.special, s.width), init="normal"),
    )


def table_kernels(sizes: Sizes, setting: OpSetting) -> list[Kernel]:
    """One sum."""
    size = sizes.all_tokens * sizes.width
    joined = size * np.minimum(sizes.special, 1)  # the rows of special tokens, put in front
    return beside(joined, [elementwise("add", 2 * size, weights=size, live=size)])


def add_table(state: TokenState, w: Weights) -> TokenState:
    """Add a row to every token."""
    table_ND = w["table"].flatten(0, 1)
    if state.special:
        table_ND = torch.cat([w["special"], table_ND])
    return state.but(x_BND=state.x_BND + table_ND)


@POSITIONS.register
class Table(Position):
    """``x + table``; the special tokens have rows of their own."""

    card = PositionCard(
        name="table",
        summary="learned absolute positions, one row a token",
        source="ViT",
        parameters=table_parameters,
        kernels=table_kernels,
    )

    def forward(self, state: TokenState, w: Weights, setting: OpSetting) -> TokenState:
        """See ``Position.forward``."""
        return add_table(state, w)
