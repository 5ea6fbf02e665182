"""Invariant 4: a setting that does nothing equals the plain operator.

The table below knows the built-in operators; one that it does not know is not tried here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from search_spaces.architecture import OpSetting
from search_spaces.workload import Sizes
from supernet.attention import ATTENTIONS
from supernet.operators import Weights
from supernet.position import POSITIONS
from supernet.token_reduction import REDUCTIONS
from supernet.tokens import TokenState

GRID = (4, 4)
SIZES = Sizes(width=24, heads=3, head_dim=8, tokens=16, grid_h=4, grid_w=4)


def matrices() -> dict[str, Tensor]:
    """The shared q, k, v and o of one layer."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return 0.3 * torch.randn(*shape, generator=generator, dtype=torch.float64)

    inner = {f"{x}_weight": draw(SIZES.inner, SIZES.width) for x in "qkv"}
    inner |= {f"{x}_bias": draw(SIZES.inner) for x in "qkv"}
    return inner | {"o_weight": draw(SIZES.width, SIZES.inner), "o_bias": draw(SIZES.width)}


def with_bias_table(size: int) -> Callable[[dict[str, Tensor]], Weights]:
    """A relative position bias of zero."""
    side = 2 * size - 1
    return lambda w: {**w, "bias_table": torch.zeros(SIZES.heads, side, side).double()}


def all_low(w: dict[str, Tensor]) -> Weights:
    """HiLo with every head low: its low output block is the whole matrix."""
    return {**w, "o_low_weight": w["o_weight"], "o_low_bias": w["o_bias"]}


def all_high(w: dict[str, Tensor]) -> Weights:
    """HiLo with every head high."""
    return {**w, "o_high_weight": w["o_weight"], "o_high_bias": w["o_bias"]}


def as_is(w: dict[str, Tensor]) -> Weights:
    """No extras."""
    return w


Side = tuple[str, Callable[[dict[str, Tensor]], Weights]]
ATTENTION_PAIRS: list[tuple[Side, Side]] = [
    (("window(size=4)", with_bias_table(4)), ("softmax", as_is)),
    (("hilo(alpha=0.5,window=1)", all_low), ("softmax", as_is)),
    (("hilo(alpha=0.0,window=4)", all_high), ("softmax", as_is)),
    (("hilo(alpha=0.0,window=2)", all_high), ("window(size=2)", with_bias_table(2))),
]


@pytest.mark.parametrize(("one", "other"), ATTENTION_PAIRS, ids=lambda side: side[0])
def test_attention_equals_its_plain_form(one: Side, other: Side) -> None:
    torch.manual_seed(1)
    y_BND = torch.randn(2, SIZES.tokens, SIZES.width, dtype=torch.float64)
    state = TokenState(x_BND=y_BND, grid=GRID)

    def run(side: Side) -> Tensor:
        setting = OpSetting.parse(side[0])
        weights = side[1](matrices())
        return ATTENTIONS[setting.op].forward(y_BND, state, weights, setting, SIZES, None)[0]

    torch.testing.assert_close(run(one), run(other), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "label", ["none", "tome(keep=1.0)", "tome(r=0)", "evit(keep=1.0)", "pool2d(stride=1)"]
)
@pytest.mark.parametrize("special", [0, 1])
def test_a_reduction_that_keeps_all_is_the_identity(label: str, special: int) -> None:
    setting = OpSetting.parse(label)
    op: Any = REDUCTIONS[setting.op]
    state = TokenState(x_BND=torch.randn(2, 16 + special, 24), special=special, grid=GRID)

    after = op.forward(state, torch.rand(2, 16), {}, setting)

    assert after is state
    sizes = SIZES.but(special=special)
    assert all(kernel.macs == 0 for kernel in op.card.kernels(sizes, sizes, setting, None))


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("none", {}),
        ("table", {"table": torch.zeros(4, 4, 24), "special": torch.zeros(1, 24)}),
        ("peg", {"weight": torch.zeros(24, 1, 3, 3), "bias": torch.zeros(24)}),
    ],
    ids=["none", "table", "peg"],
)
def test_a_position_of_zeros_is_the_identity(name: str, weights: Weights) -> None:
    state = TokenState(x_BND=torch.randn(2, 17, 24), special=1, grid=GRID)

    after = POSITIONS[name].forward(state, weights, OpSetting(name))

    assert torch.equal(after.x_BND, state.x_BND)
