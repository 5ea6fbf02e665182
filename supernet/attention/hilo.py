"""HiLo attention (LITv2, #14, section 3.2): fine heads in windows, coarse heads on pooled keys.

Of h heads, ``⌊α h⌋`` are low: every position queries keys and values of the s × s average-pooled
map. The others are high: attention inside s × s windows. Each group has its own output projection
and they are put side by side, high first. With s = 1 all heads are low: plain attention.

Where special tokens exist, high heads give them a row over all tokens and low heads one over all
tokens in pooled form.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from search_spaces.architecture import OpSetting
from search_spaces.card import AttentionCard, Geometry, ParameterSpec
from search_spaces.workload import Count, Kernel, Sizes, elementwise, linear
from search_spaces.workload import attention as attention_kernel
from supernet.attention import ATTENTIONS
from supernet.heads import join_heads, split_heads
from supernet.operators import Attention, Weights
from supernet.tokens import TokenState
from supernet.windows import from_windows, pool_grid, special_rows, to_windows, why_no_windows


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
    def low_inner(s: Sizes) -> Count:
        return low_heads(setting, s.heads) * s.head_dim

    def high_inner(s: Sizes) -> Count:
        return s.inner - low_inner(s)

    def high(s: Sizes) -> Count:
        return high_rows(setting, s)

    return (
        ParameterSpec(
            name="o_high_weight",
            shape=lambda s: (high(s), high_inner(s)),
            master="o_weight",
            shared=True,
        ),
        ParameterSpec(
            name="o_high_bias",
            shape=lambda s: (high(s),),
            init="zeros",
            master="o_bias",
            shared=True,
        ),
        ParameterSpec(
            name="o_low_weight",
            shape=lambda s: (s.width - high(s), low_inner(s)),
            start=lambda s: (high(s), high_inner(s)),
            master="o_weight",
            shared=True,
        ),
        ParameterSpec(
            name="o_low_bias",
            shape=lambda s: (s.width - high(s),),
            start=lambda s: (high(s),),
            init="zeros",
            master="o_bias",
            shared=True,
        ),
    )


def _kernels(sizes: Sizes, setting: OpSetting, wants: str | None) -> list[Kernel]:
    n, width, area, d = sizes.all_tokens, sizes.width, setting["window"] ** 2, sizes.head_dim
    low = low_heads(setting, sizes.heads)
    high, rows = sizes.heads - low, high_rows(setting, sizes)
    pooled = sizes.tokens // area
    keys = sizes.special + pooled
    y, q, kv = n * width, n * sizes.inner, n * high * d
    held = y + q
    cut = held + 2 * kv + 3 * sizes.tokens * high * d
    late = held + kv  # the high heads' output is alive while the low heads run
    small = keys * (width + 2 * low * d)
    return [
        linear(n, width, sizes.inner, live=held),
        linear(n, width, high * d, live=held + kv),
        linear(n, width, high * d, live=held + 2 * kv),
        elementwise("gather", 6 * sizes.tokens * high * d, live=cut),
        attention_kernel(high, area, area, d, repeat=pooled, live=cut + sizes.tokens * high * d),
        attention_kernel(high, sizes.special, n, d, live=cut + n * high * d),
        elementwise("pool", (sizes.tokens + pooled) * width, live=late + keys * width),
        linear(keys, width, low * d, live=late + small),
        linear(keys, width, low * d, live=late + small),
        attention_kernel(low, sizes.tokens, pooled, d, live=late + small + n * low * d),
        attention_kernel(low, sizes.special, keys, d, live=late + small + n * low * d),
        linear(n, high * d, rows, live=held + q + y),
        linear(n, low * d, width - rows, live=held + q + y),
        elementwise("concat", 2 * y, live=held + q + 2 * y),
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
        low = low_heads(setting, sizes.heads) * sizes.head_dim
        high = sizes.inner - low
        q_BNI = F.linear(y_BND, w["q_weight"], w["q_bias"])
        parts = []
        if high:
            k_BNI, v_BNI = (
                F.linear(y_BND, w[f"{x}_weight"][:high], w[f"{x}_bias"][:high]) for x in "kv"
            )
            mixed_BNI = _in_windows(q_BNI[..., :high], k_BNI, v_BNI, state, setting, sizes)
            parts.append(F.linear(mixed_BNI, w["o_high_weight"], w["o_high_bias"]))
        if low:
            pooled_BMD = _pooled(y_BND, state, setting["window"])
            k_BMI, v_BMI = (
                F.linear(pooled_BMD, w[f"{x}_weight"][high:], w[f"{x}_bias"][high:]) for x in "kv"
            )
            mixed_BNI = _on_pooled(q_BNI[..., high:], k_BMI, v_BMI, state, sizes)
            parts.append(F.linear(mixed_BNI, w["o_low_weight"], w["o_low_bias"]))
        return torch.cat(parts, dim=2) if len(parts) > 1 else parts[0], None


def _pooled(y_BND: Tensor, state: TokenState, side: int) -> Tensor:
    """Special tokens as they are, patches pooled."""
    assert state.grid is not None
    pooled_BmD = pool_grid(y_BND[:, state.special :], state.grid, side)
    if state.special == 0:
        return pooled_BmD
    return torch.cat([y_BND[:, : state.special], pooled_BmD], dim=1)


def _in_windows(
    q_BNI: Tensor,
    k_BNI: Tensor,
    v_BNI: Tensor,
    state: TokenState,
    setting: OpSetting,
    sizes: Sizes,
) -> Tensor:
    """High heads: patches inside windows, special tokens over all, ``(B, N, I)``."""
    assert state.grid is not None
    side, d, special = setting["window"], sizes.head_dim, state.special
    q, k, v = (to_windows(x[:, special:], state.grid, side, d) for x in (q_BNI, k_BNI, v_BNI))
    patches_BnI = from_windows(F.scaled_dot_product_attention(q, k, v), state.grid, side)
    q_BHND, k_BHND, v_BHND = (split_heads(x, d) for x in (q_BNI, k_BNI, v_BNI))
    rows_BCI = special_rows(q_BHND, k_BHND, v_BHND, special)
    return patches_BnI if rows_BCI is None else torch.cat([rows_BCI, patches_BnI], dim=1)


def _on_pooled(
    q_BNI: Tensor, k_BMI: Tensor, v_BMI: Tensor, state: TokenState, sizes: Sizes
) -> Tensor:
    """Low heads: patches over pooled patches, special tokens over those and each other."""
    d, special = sizes.head_dim, state.special
    q_BHND, k_BHMD, v_BHMD = (split_heads(x, d) for x in (q_BNI, k_BMI, v_BMI))
    patches_BnI = join_heads(
        F.scaled_dot_product_attention(
            q_BHND[:, :, special:], k_BHMD[:, :, special:], v_BHMD[:, :, special:]
        )
    )
    rows_BCI = special_rows(q_BHND, k_BHMD, v_BHMD, special)
    return patches_BnI if rows_BCI is None else torch.cat([rows_BCI, patches_BnI], dim=1)
