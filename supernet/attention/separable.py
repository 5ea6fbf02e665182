"""Separable self-attention (MobileViTv2, #47, eq. 1–3): linear in the number of tokens.

``s = softmax over tokens (x w_I + b)``, context ``c = Σ_j s_j (x W_k)_j``, output
``(ReLU(x W_v) ⊙ c) W_o``. Heads only set the inner width. Behind merges, a token of size m counts
as m tokens: log m is added to its logit.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from search_spaces.architecture import OpSetting
from search_spaces.card import AttentionCard, ParameterSpec
from search_spaces.workload import Kernel, Sizes, elementwise, linear, product
from supernet.attention import ATTENTIONS
from supernet.operators import Attention, Weights
from supernet.tokens import TokenState


def _parameters(setting: OpSetting) -> tuple[ParameterSpec, ...]:
    return (
        ParameterSpec(name="score_weight", shape=lambda s: (1, s.width)),
        ParameterSpec(name="score_bias", shape=lambda s: (1,), init="zeros"),
    )


def _kernels(sizes: Sizes, setting: OpSetting, wants: str | None) -> list[Kernel]:
    n, inner, width = sizes.all_tokens, sizes.inner, sizes.width
    y, made = n * width, n * inner
    held = (2 + sizes.merged) * n  # logits, their softmax, and log sizes behind merges
    return [
        linear(n, width, 1, live=y + n),
        elementwise("size_bias", sizes.merged * n),
        elementwise("softmax", 2 * n, live=y + held),
        linear(n, width, inner, live=y + held + made),
        product(1, inner, n, live=y + held + made + inner),
        linear(n, width, inner, live=y + held + made + inner),
        elementwise("relu", 2 * made, live=held + made + inner),
        elementwise("multiply", 2 * made, live=held + 2 * made + inner),
        linear(n, inner, width, live=y + held + made + inner),
    ]


@ATTENTIONS.register
class Separable(Attention):
    """Every token is gated by one context vector of the whole image."""

    card = AttentionCard(
        name="separable",
        summary="one context vector gates every token, linear in tokens",
        source="MobileViTv2 (#47)",
        parameters=_parameters,
        kernels=_kernels,
        family="linear",
        gives=("context",),
        shared=("k", "v", "o"),
        gradient_free=("score_bias",),
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
        logits_B1N = F.linear(y_BND, w["score_weight"], w["score_bias"]).transpose(1, 2)
        bias_B11N = state.key_bias_B11N()
        if bias_B11N is not None:
            logits_B1N = logits_B1N + bias_B11N[:, 0]
        share_B1N = logits_B1N.softmax(dim=-1)
        context_B1I = share_B1N @ F.linear(y_BND, w["k_weight"], w["k_bias"])
        value_BNI = F.linear(y_BND, w["v_weight"], w["v_bias"]).relu_()
        del y_BND
        gate_BNI = value_BNI * context_B1I
        del value_BNI
        score = share_B1N[:, 0, state.special :] if wants == "context" else None
        return F.linear(gate_BNI, w["o_weight"], w["o_bias"]), score
