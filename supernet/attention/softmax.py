"""Softmax multi-head self-attention, the reference every other type is compared with.

``softmax(Q Kᵀ / √d + log size) V`` per head (ViT, eq. 5–8 of its appendix; proportional attention
from ToMe, eq. 1, where tokens have merged).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from search_spaces.architecture import OpSetting
from search_spaces.card import AttentionCard
from search_spaces.workload import Kernel, Sizes, elementwise, linear
from search_spaces.workload import attention as attention_kernel
from supernet.attention import ATTENTIONS
from supernet.heads import attention_score, join_heads, score_kernels, score_size, split_heads
from supernet.operators import Attention, Weights
from supernet.relative import relative_attention, relative_kernels
from supernet.tokens import TokenState


def _kernels(sizes: Sizes, setting: OpSetting, wants: str | None) -> list[Kernel]:
    n, inner, width = sizes.all_tokens, sizes.inner, sizes.width
    y, made, bias = n * width, n * inner, sizes.merged * n
    mixing = (
        relative_kernels(sizes, live=3 * made + bias)
        if sizes.relative
        else [attention_kernel(sizes.heads, n, n, sizes.head_dim, live=4 * made + bias)]
    )
    return [
        *(linear(n, width, inner, live=y + (i + 1) * made) for i in range(3)),
        elementwise("size_bias", sizes.merged * n),
        *mixing,
        *score_kernels(sizes, wants, live=4 * made + bias),
        linear(n, inner, width, live=y + made + bias + score_size(sizes, wants)),
    ]


@ATTENTIONS.register
class Softmax(Attention):
    """Every token attends to every other."""

    card = AttentionCard(
        name="softmax",
        summary="multi-head softmax attention over all tokens",
        source="ViT",
        kernels=_kernels,
        family="softmax",
        gives=("class", "significance", "received", "key_mean"),
        gradient_free=("k_bias",),
        relative=True,
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
        """See ``Attention.forward``."""
        q_BHND = split_heads(F.linear(y_BND, w["q_weight"], w["q_bias"]), sizes.head_dim)
        k_BHND = split_heads(F.linear(y_BND, w["k_weight"], w["k_bias"]), sizes.head_dim)
        v_BHND = split_heads(F.linear(y_BND, w["v_weight"], w["v_bias"]), sizes.head_dim)
        del y_BND  # nothing reads it any more, and attention is where most is alive
        bias_B11N = state.key_bias_B11N()
        if sizes.relative:
            assert state.grid is not None
            mixed_BHND = relative_attention(
                q_BHND, k_BHND, v_BHND, w, state.grid, state.special, bias_B11N
            )
        else:
            mixed_BHND = F.scaled_dot_product_attention(q_BHND, k_BHND, v_BHND, attn_mask=bias_B11N)
        score = attention_score(wants, q_BHND, k_BHND, bias_B11N, state.special, v_BHND)
        del q_BHND, k_BHND, v_BHND
        return F.linear(join_heads(mixed_BHND), w["o_weight"], w["o_bias"]), score
