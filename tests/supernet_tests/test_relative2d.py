"""Relative positions in two dimensions against their definition: a gathered table of all pairs."""

from __future__ import annotations

import pytest
import torch

from search_spaces.architecture import Architecture, Block, OpSetting, Stage
from search_spaces.errors import UserError
from search_spaces.space import SearchSpace
from search_spaces.workload import Sizes
from supernet.attention import ATTENTIONS
from supernet.extract import build_model
from supernet.operators import all_cards
from supernet.relative import relative_attention
from tests.nas_tests.test_memory_closed_form import larger_data

HEADS, HEAD_DIM = 2, 8


def tables(reach: int, special: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def draw(rows: int) -> torch.Tensor:
        return torch.randn(rows, HEAD_DIM, generator=generator, dtype=torch.float64)

    made = {}
    for to in "kv":
        for axis in ("rows", "columns"):
            made[f"relative_{to}_{axis}"] = draw(2 * reach + 1)
        made[f"relative_{to}_special"] = draw(2 * min(special, 1))
    return made


def pairs_NND(w: dict, to: str, grid: tuple[int, int], special: int, reach: int) -> torch.Tensor:
    """The vector of every pair, one by one."""
    count = special + grid[0] * grid[1]
    found = torch.zeros(count, count, HEAD_DIM, dtype=torch.float64)
    for i in range(count):
        for j in range(count):
            if i < special or j < special:
                found[i, j] = w[f"relative_{to}_special"].sum(0)
                continue
            (r, c), (s, t) = divmod(i - special, grid[1]), divmod(j - special, grid[1])
            down = min(max(s - r, -reach), reach) + reach
            right = min(max(t - c, -reach), reach) + reach
            found[i, j] = w[f"relative_{to}_rows"][down] + w[f"relative_{to}_columns"][right]
    return found


@pytest.mark.parametrize(
    ("grid", "special", "reach"), [((3, 4), 1, 2), ((4, 3), 0, 5), ((1, 2), 2, 1), ((5, 5), 1, 4)]
)
@pytest.mark.parametrize("biased", [False, True])
def test_it_equals_a_gathered_table_of_all_pairs(grid, special, reach, biased) -> None:
    count, w = special + grid[0] * grid[1], tables(reach, special)
    q, k, v = torch.randn(3, 2, HEADS, count, HEAD_DIM, dtype=torch.float64)
    bias = torch.randn(2, 1, 1, count, dtype=torch.float64) if biased else None

    mixed = relative_attention(q, k, v, w, grid, special, bias)

    logits = q @ k.transpose(2, 3)
    logits = logits + torch.einsum("bhid,ijd->bhij", q, pairs_NND(w, "k", grid, special, reach))
    logits = logits * HEAD_DIM**-0.5 + (0 if bias is None else bias)
    share = logits.softmax(dim=3)
    wanted = share @ v
    wanted = wanted + torch.einsum("bhij,ijd->bhid", share, pairs_NND(w, "v", grid, special, reach))
    torch.testing.assert_close(mixed, wanted, rtol=0, atol=1e-12)


def architecture(attention: str = "softmax", **changes: object) -> Architecture:
    block = Block(attention=OpSetting.parse(attention), heads=3, head_dim=HEAD_DIM, mlp_hidden=32)
    made = {
        "image_size": (16, 16),
        "channels": 3,
        "patch_size": 4,
        "stages": (Stage(width=16, blocks=(block, block)),),
        "position": OpSetting.of("relative2d", reach=3, table=True),
        "special_tokens": 1,
    }
    return Architecture(**(made | changes))  # type: ignore[arg-type]


def test_every_table_learns_in_every_layer() -> None:
    model = build_model(architecture(), 5).double()
    torch.manual_seed(0)
    logits = model(torch.randn(4, 3, 16, 16, dtype=torch.float64))
    (logits * torch.randn_like(logits)).sum().backward()

    found = {name: p.grad for name, p in model.named_parameters() if ".relative_" in name}

    assert len(found) == 2 * 6
    assert [name for name, grad in found.items() if not (grad != 0).all()] == []


def test_no_map_of_all_pairs_is_held() -> None:
    """Memory grows with the tokens, not with their square."""
    grids = [8, 16, 32]
    card = ATTENTIONS["softmax"].card
    live = []
    for side in grids:
        sizes = Sizes(
            width=64, heads=2, head_dim=32, tokens=side**2, grid_h=side, grid_w=side, relative=1
        )
        kernels = card.kernels(sizes, OpSetting("softmax"), None)
        live.append(max(int(kernel.live) for kernel in kernels) / side**2)

    assert live[2] < 2 * live[0]


def test_other_attention_types_are_refused_with_the_reason() -> None:
    with pytest.raises(UserError, match=r"attention separable.* cannot read the position relative"):
        build_model(architecture("separable"), 5)


def test_a_space_mixes_it_with_positions_that_all_types_can_read() -> None:
    relative = {"op": "relative2d", "reach": 3}
    both = SearchSpace(larger_data(position=["peg", relative]), all_cards())
    peg = SearchSpace(larger_data(), all_cards())
    alone = SearchSpace(larger_data(position=[relative]), all_cards())

    assert both.cardinality() == peg.cardinality() + alone.cardinality()
    assert alone.contains(alone.largest())
    for block in alone.largest().stages[0].blocks:
        assert block.attention.op == "softmax"


def test_a_place_in_the_space_changes_no_other_space() -> None:
    """Genes and digests of spaces without it, written down before it existed."""
    assert SearchSpace(larger_data(), all_cards()).digest() == "cc2b6d0703ca958e"
