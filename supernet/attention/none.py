"""No token mixing: an MLP-only layer (LIT, #77)."""

from __future__ import annotations

from torch import Tensor

from search_spaces.architecture import OpSetting
from search_spaces.card import AttentionCard
from search_spaces.workload import Kernel, Sizes
from supernet.attention import ATTENTIONS
from supernet.operators import Attention, Weights
from supernet.tokens import TokenState


def _kernels(sizes: Sizes, setting: OpSetting, wants: str | None) -> list[Kernel]:
    return []


@ATTENTIONS.register
class NoAttention(Attention):
    """Leaves the tokens to the MLP; the space asks for one mixing layer a stage elsewhere."""

    card = AttentionCard(
        name="none",
        summary="no token mixing, the layer is its MLP alone",
        source="LIT (#77)",
        kernels=_kernels,
        family="none",
        has_heads=False,
        mixes=False,
        shared=(),
        identity=True,
    )

    def forward(
        self,
        y_BND: Tensor,
        state: TokenState,
        w: Weights,
        setting: OpSetting,
        sizes: Sizes,
        wants: str | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Zero; the model skips it."""
        return y_BND.new_zeros(y_BND.shape), None
