"""No positions."""

from __future__ import annotations

from search_spaces.architecture import OpSetting
from search_spaces.card import PositionCard
from search_spaces.workload import Kernel, Sizes
from supernet.operators import Position, Weights
from supernet.position import POSITIONS
from supernet.tokens import TokenState


def _kernels(sizes: Sizes, setting: OpSetting) -> list[Kernel]:
    return []


@POSITIONS.register
class NoPosition(Position):
    """The identity."""

    card = PositionCard(name="none", summary="no positions", kernels=_kernels)

    def forward(self, state: TokenState, w: Weights, setting: OpSetting) -> TokenState:
        """The state as it is."""
        return state
