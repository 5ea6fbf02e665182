"""Window attention against loops, and its table cut out of a larger window's."""

from __future__ import annotations

import pytest
import torch

from search_spaces.architecture import OpSetting
from search_spaces.card import Geometry
from search_spaces.workload import Sizes, total
from supernet.attention import ATTENTIONS
from supernet.layers import ParameterGroup, make_cut
from supernet.tokens import TokenState
from supernet.windows import from_windows, relative_bias, to_windows

WINDOW = ATTENTIONS["window"]


def test_windows_and_back() -> None:
    x_BnI = torch.randn(3, 4 * 6, 8)

    windows = to_windows(x_BnI, (4, 6), 2, head_dim=4)

    assert windows.shape == (3 * 6, 2, 4, 4)
    first_of_second_image = x_BnI[1].view(4, 6, 8)[:2, :2].reshape(4, 8)
    assert torch.equal(windows[6].transpose(0, 1).reshape(4, 8), first_of_second_image)
    assert torch.equal(from_windows(windows, (4, 6), 2), x_BnI)


def test_the_bias_of_a_pair_depends_on_its_offset() -> None:
    table_HSS = torch.randn(2, 5, 5)
    bias_HMM = relative_bias(table_HSS, 3)[0]
    for query in range(9):
        for key in range(9):
            down, right = query // 3 - key // 3, query % 3 - key % 3

            assert torch.equal(bias_HMM[:, query, key], table_HSS[:, down + 2, right + 2])


def test_a_small_window_reads_the_same_offsets_from_a_larger_table() -> None:
    (spec,) = WINDOW.card.parameters(OpSetting.of("window", size=2))
    master_HSS = torch.randn(4, 7, 7)

    cut = make_cut(spec, Sizes(heads=3), (4, 7, 7))

    assert cut is not None
    assert torch.equal(cut(master_HSS), master_HSS[:3, 2:5, 2:5])


@pytest.mark.parametrize("special", [0, 1])
def test_it_equals_attention_written_out(special: int) -> None:
    """Per window and head by loops; special tokens attend to all tokens."""
    torch.manual_seed(0)
    setting = OpSetting.of("window", size=2)
    sizes = Sizes(width=12, heads=2, head_dim=4, tokens=8, special=special, grid_h=2, grid_w=4)
    w = {
        name: torch.randn_like(p).double()
        for name, p in ParameterGroup.of(WINDOW.card.specs(setting), sizes).tensors().items()
    }
    y_BND = torch.randn(2, 8 + special, 12).double()
    q, k, v = (y_BND @ w[f"{x}_weight"].T + w[f"{x}_bias"] for x in "qkv")
    bias_HMM = relative_bias(w["bias_table"], setting["size"])[0]
    mixed = torch.zeros_like(q)
    windows = [[0, 1, 4, 5], [2, 3, 6, 7]]
    groups = [([special + i for i in ids],) * 2 for ids in windows]
    groups += [([i], list(range(8 + special))) for i in range(special)]
    for queries, keys in groups:
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)
            logits = q[:, queries, part] @ k[:, keys, part].transpose(1, 2) / 2
            if len(queries) > 1:
                logits = logits + bias_HMM[head]
            mixed[:, queries, part] = logits.softmax(-1) @ v[:, keys, part]

    state = TokenState(x_BND=y_BND, special=special, grid=(2, 4))
    made, _ = WINDOW.forward(y_BND, state, w, setting, sizes, None)

    torch.testing.assert_close(made, mixed @ w["o_weight"].T + w["o_bias"], rtol=0, atol=1e-10)


@pytest.mark.parametrize(("side", "mmacs"), [(14, 123), (28, 492), (56, 1968)])
def test_counts_at_width_384(side: int, mmacs: int) -> None:
    sizes = Sizes(width=384, heads=12, head_dim=32, tokens=side * side, grid_h=side, grid_w=side)

    macs = total(WINDOW.card.kernels(sizes, OpSetting.of("window", size=7), None), "macs")

    assert macs / 1e6 == pytest.approx(mmacs, abs=0.6)


@pytest.mark.parametrize(
    ("geometry", "size", "word"),
    [
        (Geometry(24, (4, 6)), 4, "divide"),
        (Geometry(24, None), 2, "grid"),
        (Geometry(24, (4, 6), merged=True), 2, "merged"),
        (Geometry(24, (4, 6)), 1, "mixes nothing"),
    ],
)
def test_it_says_where_it_cannot_stand(geometry: Geometry, size: int, word: str) -> None:
    assert word in (WINDOW.card.rejects(geometry, OpSetting.of("window", size=size)) or "")
