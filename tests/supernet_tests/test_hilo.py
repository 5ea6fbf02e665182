"""HiLo against its definition (LITv2, section 3.2), and the shared output matrix's two blocks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from search_spaces.architecture import OpSetting
from search_spaces.workload import Sizes, total
from supernet.attention import ATTENTIONS
from supernet.attention.hilo import low_heads
from supernet.layers import ParameterGroup, make_cut
from supernet.tokens import TokenState

HILO = ATTENTIONS["hilo"]


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Plain multi-head attention on ``(B, N, I)``, head by head."""
    parts = []
    for q_h, k_h, v_h in zip(*(x.chunk(heads, dim=2) for x in (q, k, v)), strict=True):
        logits = q_h @ k_h.transpose(1, 2) / q_h.shape[2] ** 0.5
        parts.append(logits.softmax(-1) @ v_h)
    return torch.cat(parts, dim=2)


@pytest.mark.parametrize("special", [0, 1])
@pytest.mark.parametrize(("alpha", "low"), [(0.5, 1), (0.75, 2), (0.0, 0), (1.0, 3)])
def test_it_equals_its_two_branches_written_out(alpha: float, low: int, special: int) -> None:
    torch.manual_seed(0)
    setting = OpSetting.of("hilo", alpha=alpha, window=2)
    sizes = Sizes(width=12, heads=3, head_dim=4, tokens=16, special=special, grid_h=4, grid_w=4)
    assert low_heads(setting, 3) == low
    w = {
        name: torch.randn_like(p).double()
        for name, p in ParameterGroup.of(HILO.card.specs(setting), sizes).tensors().items()
    }
    y_BND = torch.randn(2, 16 + special, 12).double()
    q, k, v = (y_BND @ w[f"{x}_weight"].T + w[f"{x}_bias"] for x in "qkv")
    cut, high = 12 - 4 * low, 3 - low
    patches = torch.arange(16).view(4, 4) + special
    fine = torch.zeros(2, 16 + special, cut).double()
    coarse = torch.zeros(2, 16 + special, 4 * low).double()
    blocks = [patches[r : r + 2, c : c + 2].flatten() for r in (0, 2) for c in (0, 2)]
    # A linear map commutes with the mean, so pooled keys are means of keys.
    pooled_k, pooled_v = (torch.stack([x[:, b].mean(1) for b in blocks], 1) for x in (k, v))
    if high:
        for b in blocks:
            fine[:, b] = attend(q[:, b, :cut], k[:, b, :cut], v[:, b, :cut], high)
        if special:
            fine[:, :1] = attend(q[:, :1, :cut], k[..., :cut], v[..., :cut], high)
    if low:
        rows = patches.flatten()
        coarse[:, rows] = attend(q[:, rows, cut:], pooled_k[..., cut:], pooled_v[..., cut:], low)
        if special:
            all_k, all_v = (
                torch.cat([x[:, :1, cut:], p[..., cut:]], 1)
                for x, p in ((k, pooled_k), (v, pooled_v))
            )
            coarse[:, :1] = attend(q[:, :1, cut:], all_k, all_v, low)
    expected = torch.cat(
        [
            fine @ w["o_high_weight"].T + w["o_high_bias"],
            coarse @ w["o_low_weight"].T + w["o_low_bias"],
        ],
        dim=2,
    )

    state = TokenState(x_BND=y_BND, special=special, grid=(4, 4))
    made, _ = HILO.forward(y_BND, state, w, setting, sizes, None)

    torch.testing.assert_close(made, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("width", "heads"), [(16, 4), (24, 3), (20, 3), (8, 1)])
def test_its_output_blocks_lie_on_the_diagonal_of_the_shared_matrix(width: int, heads: int) -> None:
    setting = OpSetting.of("hilo", alpha=0.5, window=2)
    sizes = Sizes(width=width, heads=heads, head_dim=4)
    specs = {spec.name: spec for spec in HILO.card.parameters(setting)}
    master = torch.arange(32 * 24).view(32, 24)
    taken = {}
    for name in ("o_high_weight", "o_low_weight"):
        cut = make_cut(specs[name], sizes, (32, 24))
        assert cut is not None
        taken[name] = cut(master)

    low = low_heads(setting, heads)
    rows, columns = taken["o_high_weight"].shape

    assert columns == 4 * (heads - low)
    assert taken["o_low_weight"].shape == (width - rows, 4 * low)
    if low:
        assert taken["o_low_weight"][0, 0] == master[rows, columns]
    if width == 4 * heads:  # then they are the square blocks of the paper
        assert rows == columns


def macs_of(alpha: float, side: int) -> float:
    """Our count at width 384 with 12 heads and windows of 2."""
    sizes = Sizes(width=384, heads=12, head_dim=32, tokens=side * side, grid_h=side, grid_w=side)
    setting = OpSetting.of("hilo", alpha=alpha, window=2)
    return float(total(HILO.card.kernels(sizes, setting, None), "macs"))


@pytest.mark.parametrize(("side", "mmacs"), [(14, 84), (28, 378), (56, 2221)])
def test_counts_at_width_384(side: int, mmacs: int) -> None:
    assert macs_of(0.5, side) / 1e6 == pytest.approx(mmacs, abs=0.6)


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_counts_follow_the_formula_of_the_paper(alpha: float) -> None:
    n, width, area = 28 * 28, 384, 4
    low = int(alpha * 12) * 32
    high = width - low

    macs = n * (3 * width * high + high**2 + 2 * area * high)
    macs += n * (width * low + low**2) + 2 * n // area * width * low + 2 * n * n // area * low

    assert macs_of(alpha, 28) == macs


def test_low_heads_are_counted_without_float_error() -> None:
    for tenths in range(11):
        setting = OpSetting.of("hilo", alpha=tenths / 10, window=2)

        assert [low_heads(setting, h) for h in range(13)] == [tenths * h // 10 for h in range(13)]
