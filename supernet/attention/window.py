"""Attention inside windows with a relative position bias (Swin, eq. 4; unshifted).

``softmax(Q Kᵀ / √d + B) V`` per head and window of w × w tokens, B from a table of offsets.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from search_spaces.architecture import OpSetting
from search_spaces.card import AttentionCard, Geometry, ParameterSpec
from search_spaces.workload import Kernel, Sizes, elementwise, linear
from search_spaces.workload import attention as attention_kernel
from supernet.attention import ATTENTIONS
from supernet.heads import attention_score, score_kernels, split_heads
from supernet.operators import Attention, Weights
from supernet.tokens import TokenState
from supernet.windows import (
    from_windows,
    relative_bias,
    special_rows,
    to_windows,
    why_no_windows,
)


def _rejects(geometry: Geometry, setting: OpSetting) -> str | None:
    if setting["size"] < 2:
        return f"size={setting['size']} mixes nothing; windows begin at 2"
    return why_no_windows(geometry, setting["size"])


def _parameters(setting: OpSetting) -> tuple[ParameterSpec, ...]:
    offsets = 2 * setting["size"] - 1
    return (
        ParameterSpec(
            name="bias_table",
            shape=lambda s: (s.heads, offsets, offsets),
            init="normal",
            rule="centre",
        ),
    )


def _kernels(sizes: Sizes, setting: OpSetting, wants: str | None) -> list[Kernel]:
    n, inner, width = sizes.all_tokens, sizes.inner, sizes.width
    y, area = n * width, setting["size"] ** 2
    pairs = sizes.heads * area * area
    held = y + 3 * n * inner + pairs
    cut = held + 3 * sizes.tokens * inner
    return [
        *(linear(n, width, inner, live=y + (i + 1) * n * inner) for i in range(3)),
        elementwise("gather", 2 * pairs, weights=pairs, live=held),
        elementwise("gather", 6 * sizes.tokens * inner, live=cut),
        attention_kernel(
            sizes.heads,
            area,
            area,
            sizes.head_dim,
            repeat=sizes.tokens // area,
            live=cut + sizes.tokens * inner,
        ),
        elementwise("gather", 2 * sizes.tokens * inner, live=held + 2 * sizes.tokens * inner),
        attention_kernel(sizes.heads, sizes.special, n, sizes.head_dim, live=held + 2 * n * inner),
        *score_kernels(sizes, wants, live=held + 2 * n * inner),
        linear(n, inner, width, live=y + n * inner + n * width),
    ]


@ATTENTIONS.register
class Window(Attention):
    """Patches attend inside their window; special tokens attend to everything."""

    card = AttentionCard(
        name="window",
        summary="softmax attention inside windows, with a relative position bias",
        source="Swin",
        choices={"size": (2, 4)},
        rejects=_rejects,
        parameters=_parameters,
        kernels=_kernels,
        family="softmax",
        needs_grid=True,
        gives=("class", "key_mean"),
        gradient_free=("k_bias",),
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
        made = [F.linear(y_BND, w[f"{name}_weight"], w[f"{name}_bias"]) for name in "qkv"]
        patches_BnI = self._inside(made, state, relative_bias(w["bias_table"]), setting, sizes)
        q_BHND, k_BHND, v_BHND = (split_heads(x_BNI, sizes.head_dim) for x_BNI in made)
        special_BCI = special_rows(q_BHND, k_BHND, v_BHND, state.special)
        score = attention_score(wants, q_BHND, k_BHND, None, state.special)
        del made, q_BHND, k_BHND, v_BHND
        mixed_BNI = patches_BnI
        if special_BCI is not None:
            mixed_BNI = torch.cat([special_BCI, patches_BnI], dim=1)
        return F.linear(mixed_BNI, w["o_weight"], w["o_bias"]), score

    def _inside(
        self,
        made_BNI: list[Tensor],
        state: TokenState,
        bias_1HMM: Tensor,
        setting: OpSetting,
        sizes: Sizes,
    ) -> Tensor:
        """The patches' part, ``(B, n, H * d)``."""
        assert state.grid is not None
        side = setting["size"]
        q, k, v = (
            to_windows(x_BNI[:, state.special :], state.grid, side, sizes.head_dim)
            for x_BNI in made_BNI
        )
        mixed_WHMD = F.scaled_dot_product_attention(q, k, v, attn_mask=bias_1HMM)
        return from_windows(mixed_WHMD, state.grid, side)
