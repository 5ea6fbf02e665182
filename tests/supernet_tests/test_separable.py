"""Separable attention against its three equations (MobileViTv2)."""

from __future__ import annotations

import pytest
import torch

from search_spaces.architecture import OpSetting
from search_spaces.workload import Sizes, total
from supernet.attention import ATTENTIONS
from supernet.layers import ParameterGroup
from supernet.operators import Weights
from supernet.tokens import TokenState

SEPARABLE = ATTENTIONS["separable"]
SETTING = OpSetting("separable")


def weights(sizes: Sizes) -> Weights:
    """Random weights of these sizes."""
    torch.manual_seed(0)
    group = ParameterGroup.of(SEPARABLE.card.specs(SETTING), sizes)
    return {name: torch.randn_like(p).double() for name, p in group.tensors().items()}


def test_it_equals_its_equations() -> None:
    sizes = Sizes(width=12, heads=2, head_dim=4, tokens=5, special=1)
    w, y_BND = weights(sizes), torch.randn(2, 6, 12).double()
    share_BN = (y_BND @ w["score_weight"][0] + w["score_bias"]).softmax(dim=1)
    k, v = (y_BND @ w[f"{x}_weight"].T + w[f"{x}_bias"] for x in "kv")
    context_BI = torch.einsum("bn,bni->bi", share_BN, k)
    expected = (v.relu() * context_BI[:, None]) @ w["o_weight"].T + w["o_bias"]

    state = TokenState(x_BND=y_BND, special=1)
    made, score = SEPARABLE.forward(y_BND, state, w, SETTING, sizes, "context")

    torch.testing.assert_close(made, expected, rtol=0, atol=1e-10)
    assert score is not None
    torch.testing.assert_close(score, share_BN[:, 1:], rtol=0, atol=1e-12)


def test_a_merged_token_counts_as_its_patches() -> None:
    sizes = Sizes(width=12, heads=2, head_dim=4, tokens=4)
    w, y_BND = weights(sizes), torch.randn(2, 4, 12).double()
    twice = torch.cat([y_BND, y_BND[:, 1:2]], dim=1)
    size_BN1 = torch.tensor([1.0, 2.0, 1.0, 1.0]).double().view(1, 4, 1).expand(2, -1, -1)

    plain = SEPARABLE.forward(twice, TokenState(x_BND=twice), w, SETTING, sizes, None)[0]
    state = TokenState(x_BND=y_BND, size_BN1=size_BN1)
    merged = SEPARABLE.forward(y_BND, state, w, SETTING, sizes, None)[0]

    torch.testing.assert_close(merged, plain[:, :4], rtol=0, atol=1e-10)


@pytest.mark.parametrize(("side", "mmacs"), [(14, 87), (28, 348), (56, 1391)])
def test_counts_at_width_384(side: int, mmacs: int) -> None:
    """3ND² + 2ND: of the paper's 3ND, one is element-wise and not counted."""
    sizes = Sizes(width=384, heads=12, head_dim=32, tokens=side * side)

    macs = total(SEPARABLE.card.kernels(sizes, SETTING, None), "macs")

    assert macs / 1e6 == pytest.approx(mmacs, rel=0.01)
