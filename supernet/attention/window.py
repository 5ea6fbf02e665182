"""Attention inside windows with a relative position bias (Swin, eq. 4; unshifted).

``softmax(Q Kᵀ / √d + B) V`` per head and window of w × w tokens, B from a table of offsets.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from search_spaces.architecture import OpSetting
from search_spaces.card import AttentionCard, Geometry, ParameterSpec
from search_spaces.workload import Kernel, Sizes, beside, elementwise, linear, only
from search_spaces.workload import attention as attention_kernel
from supernet.attention import ATTENTIONS
from supernet.heads import attention_score, score_kernels, score_size
from supernet.operators import Attention, Weights
from supernet.tokens import TokenState
from supernet.windows import relative_bias, why_no_windows, window_attention


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
    n, width, area = sizes.all_tokens, sizes.width, setting["size"] ** 2
    made, cut = n * sizes.inner, sizes.tokens * sizes.inner
    # Queries, keys and values outlive their windows only where something else reads them.
    kept = made * (np.minimum(sizes.special, 1) if wants is None else 1)
    # One window over the whole grid is only another view; smaller ones are copies.
    whole = sizes.tokens == area
    each, copied = np.where(whole, made, cut + kept), np.where(whole, 0, cut)
    pairs = sizes.heads * area * area
    held = n * width
    mixed = held + 3 * kept + cut
    kernels = [
        elementwise("gather", 2 * pairs, weights=pairs, live=held),
        *(linear(n, width, sizes.inner, live=held + i * each + made) for i in range(3)),
        elementwise("gather", 6 * cut, live=held + 2 * each + made + copied),
        attention_kernel(
            sizes.heads,
            area,
            area,
            sizes.head_dim,
            repeat=sizes.tokens // area,
            live=held + 3 * each + cut,
        ),
        elementwise("gather", 2 * cut, live=mixed + copied),
        *only(
            sizes.special,
            attention_kernel(sizes.heads, sizes.special, n, sizes.head_dim, live=mixed + made),
        ),
        *score_kernels(sizes, wants, live=mixed),
    ]
    output = linear(n, sizes.inner, width, live=2 * n * width + made + score_size(sizes, wants))
    return [*beside(pairs, kernels), output]  # the bias serves all images at once


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
        made_BNI = (F.linear(y_BND, w[f"{x}_weight"], w[f"{x}_bias"]) for x in "qkv")
        mixed_BNI, heads = window_attention(
            made_BNI,
            state,
            setting["size"],
            sizes.head_dim,
            bias_1HMM=relative_bias(w["bias_table"], setting["size"]),
            keep=wants is not None,
        )
        score = attention_score(wants, heads[0], heads[1], None, state.special) if heads else None
        del heads
        return F.linear(mixed_BNI, w["o_weight"], w["o_bias"]), score
