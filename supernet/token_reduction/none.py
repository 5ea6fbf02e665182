"""All tokens stay."""

from __future__ import annotations

from torch import Tensor

from search_spaces.architecture import OpSetting
from search_spaces.card import ReductionCard, unchanged
from search_spaces.workload import Kernel, Sizes
from supernet.operators import Reduction, Weights
from supernet.token_reduction import REDUCTIONS
from supernet.tokens import TokenState


def _kernels(before: Sizes, after: Sizes, setting: OpSetting, score: str | None) -> list[Kernel]:
    return []


@REDUCTIONS.register
class NoReduction(Reduction):
    """The identity."""

    card = ReductionCard(name="none", summary="all tokens stay", after=unchanged, kernels=_kernels)

    def forward(
        self, state: TokenState, score: Tensor | None, w: Weights, setting: OpSetting
    ) -> TokenState:
        """The state as it is."""
        return state
