"""HiLo attention (LITv2, #14, section 3.2): fine heads in windows, coarse heads on pooled keys.

Of h heads, ``⌊α h⌋`` are low: every position queries keys and values of the s × s average-pooled
map. The others are high: attention inside s × s windows. Each group has its own output projection
and they are put side by side, high first. With s = 1 all heads are low: plain attention.

Where special tokens exist, high heads give them a row over all tokens and low heads one over all
tokens in pooled form.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from search_spaces.architecture import OpSetting
from search_spaces.card import AttentionCard, Geometry, Init, ParameterSpec
from search_spaces.workload import Count, Kernel, Sizes, elementwise, linear, only
from search_spaces.workload import attention as attention_kernel
from supernet.attention import ATTENTIONS
from supernet.heads import join_heads, split_heads
from supernet.operators import Attention, Weights
from supernet.tokens import TokenState
from supernet.windows import pool_grid, special_rows, why_no_windows, window_attention

Shape = Callable[[Sizes], tuple[Count, ...]]


def low_heads(setting: OpSetting, heads: Count) -> Count:
    """Heads on the pooled map; α counts to four decimals, so that ``⌊α h⌋`` is exact."""
    if setting["window"] == 1:
        return heads
    return round(setting["alpha"] * 10_000) * heads // 10_000


def high_rows(setting: OpSetting, sizes: Sizes) -> Count:
    """Output channels of the high heads: the width, shared out as the heads are."""
    some = sizes.heads + (sizes.heads == 0)  # a column may hold layers of other types, without any
    return sizes.width * (sizes.heads - low_heads(setting, sizes.heads)) // some


def _rejects(geometry: Geometry, setting: OpSetting) -> str | None:
    side = setting["window"]
    if side < 1 or not 0 <= setting["alpha"] <= 1:
        return f"{setting} needs window ≥ 1 and 0 ≤ alpha ≤ 1"
    reason = why_no_windows(geometry, side)
    if reason is None and geometry.tokens == side * side and setting["alpha"] > 0:
        return f"window={side} leaves its low heads a single pooled token"
    return reason


def _parameters(setting: OpSetting) -> tuple[ParameterSpec, ...]:
    """The two blocks of the shared output matrix that lie on its diagonal, high heads first."""

    def low_inner(s: Sizes) -> Count:
        return low_heads(setting, s.heads) * s.head_dim

    def high_inner(s: Sizes) -> Count:
        return s.inner - low_inner(s)

    def high(s: Sizes) -> Count:
        return high_rows(setting, s)

    def block(name: str, shape: Shape, start: Shape | None = None) -> ParameterSpec:
        master = f"o_{name.rsplit('_')[-1]}"
        init: Init = "linear" if master == "o_weight" else "zeros"
        return ParameterSpec(
            name=name, shape=shape, init=init, master=master, shared=True, start=start
        )

    return (
        block("o_high_weight", lambda s: (high(s), high_inner(s))),
        block("o_high_bias", lambda s: (high(s),)),
        block(
            "o_low_weight",
            lambda s: (s.width - high(s), low_inner(s)),
            lambda s: (high(s), high_inner(s)),
        ),
        block("o_low_bias", lambda s: (s.width - high(s),), lambda s: (high(s),)),
    )


def _kernels(sizes: Sizes, setting: OpSetting, wants: str | None) -> list[Kernel]:
    n, width, area, d = sizes.all_tokens, sizes.width, setting["window"] ** 2, sizes.head_dim
    low = low_heads(setting, sizes.heads)
    high, rows = sizes.heads - low, high_rows(setting, sizes)
    pooled = sizes.tokens // area
    keys = sizes.special + pooled
    x, held = n * width, n * (width + sizes.inner)
    made, cut = n * high * d, sizes.tokens * high * d
    some = np.minimum(sizes.special, 1)
    kept = made * some  # for special tokens, keys and values outlive their windows
    late = held + n * rows  # the high heads' output waits for that of the low heads
    pooling = keys * width * (1 if area > 1 else some)  # a window of 1 pools nothing
    small = late + pooling + 2 * keys * low * d
    fine = (
        linear(n, width, high * d, live=held + cut + made),
        linear(n, width, high * d, live=held + 2 * cut + kept + made),
        elementwise("gather", 6 * cut, live=held + 3 * cut + kept + made),
        attention_kernel(high, area, area, d, repeat=pooled, live=held + 4 * cut + 2 * kept),
        *only(some, attention_kernel(high, sizes.special, n, d, live=held + cut + 2 * kept + made)),
        linear(n, high * d, rows, live=held + made + n * rows),
    )
    coarse = (
        elementwise("pool", (sizes.tokens + pooled) * width, live=late + pooling),
        linear(keys, width, low * d, live=small),
        linear(keys, width, low * d, live=small),
        attention_kernel(low, sizes.tokens, pooled, d, live=small + sizes.tokens * low * d),
        *only(some, attention_kernel(low, sizes.special, keys, d, live=small + 2 * n * low * d)),
        linear(n, low * d, width - rows, live=small + n * low * d + n * (width - rows)),
    )
    return [
        linear(n, width, sizes.inner, live=held),
        *only(high, *fine),
        *only(low, *coarse),
        *only(high * low, elementwise("concat", 2 * x, live=3 * x)),
    ]


@ATTENTIONS.register
class HiLo(Attention):
    """High heads see their window, low heads a pooled map of everything."""

    card = AttentionCard(
        name="hilo",
        summary="high heads inside windows, low heads on pooled keys",
        source="LITv2 (#14)",
        choices={"alpha": (0.5,), "window": (2,)},
        rejects=_rejects,
        parameters=_parameters,
        kernels=_kernels,
        family="softmax",
        needs_grid=True,
        shared=("q", "k", "v"),
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
        """See ``Attention.forward``; its low heads have no key per token, so it gives no score."""
        high = sizes.inner - low_heads(setting, sizes.heads) * sizes.head_dim
        q_BNI = F.linear(y_BND, w["q_weight"], w["q_bias"])
        parts = []
        if high:
            parts.append(self._high(y_BND, q_BNI[..., :high], state, w, setting, sizes))
        if high < sizes.inner:
            parts.append(self._low(y_BND, q_BNI[..., high:], state, w, setting, sizes))
        del q_BNI
        return torch.cat(parts, dim=2) if len(parts) > 1 else parts[0], None

    def _high(
        self,
        y_BND: Tensor,
        q_BNI: Tensor,
        state: TokenState,
        w: Weights,
        setting: OpSetting,
        sizes: Sizes,
    ) -> Tensor:
        """Patches inside windows, special tokens over all; its share of the output channels."""
        high = q_BNI.shape[2]
        made_BNI = (
            q_BNI if x == "q" else F.linear(y_BND, w[f"{x}_weight"][:high], w[f"{x}_bias"][:high])
            for x in "qkv"
        )
        mixed_BNI, _ = window_attention(made_BNI, state, setting["window"], sizes.head_dim)
        return F.linear(mixed_BNI, w["o_high_weight"], w["o_high_bias"])

    def _low(
        self,
        y_BND: Tensor,
        q_BNI: Tensor,
        state: TokenState,
        w: Weights,
        setting: OpSetting,
        sizes: Sizes,
    ) -> Tensor:
        """Patches over pooled patches, special tokens over those and each other."""
        high, d, special = sizes.inner - q_BNI.shape[2], sizes.head_dim, state.special
        pooled_BMD = _pooled(y_BND, state, setting["window"])
        k_BHMD, v_BHMD = (
            split_heads(F.linear(pooled_BMD, w[f"{x}_weight"][high:], w[f"{x}_bias"][high:]), d)
            for x in "kv"
        )
        q_BHND = split_heads(q_BNI, d)
        mixed_BNI = join_heads(
            F.scaled_dot_product_attention(
                q_BHND[:, :, special:], k_BHMD[:, :, special:], v_BHMD[:, :, special:]
            )
        )
        if special:
            mixed_BNI = torch.cat([special_rows(q_BHND, k_BHMD, v_BHMD, special), mixed_BNI], dim=1)
        return F.linear(mixed_BNI, w["o_low_weight"], w["o_low_bias"])


def _pooled(y_BND: Tensor, state: TokenState, side: int) -> Tensor:
    """Special tokens as they are, patches pooled."""
    assert state.grid is not None
    pooled_BmD = pool_grid(y_BND[:, state.special :], state.grid, side)
    if state.special == 0:
        return pooled_BmD
    return torch.cat([y_BND[:, : state.special], pooled_BmD], dim=1)
