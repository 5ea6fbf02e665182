"""Pooling on the grid against loops, and what it says of patches and centres."""

from __future__ import annotations

import pytest
import torch

from search_spaces.architecture import OpSetting
from search_spaces.card import Geometry
from supernet.token_reduction import REDUCTIONS
from supernet.tokens import TokenState, track

POOL = REDUCTIONS["pool2d"]
HALF = OpSetting.of("pool2d", stride=2)


@pytest.mark.parametrize("special", [0, 2])
def test_it_means_over_squares(special: int) -> None:
    x_BND = torch.randn(2, 4 * 6 + special, 5).double()
    state = track(TokenState(x_BND=x_BND, special=special, grid=(4, 6)))

    after = POOL.forward(state, None, {}, HALF)

    assert after.grid == (2, 3)
    assert after.size_BN1 is None
    assert torch.equal(after.x_BND[:, :special], x_BND[:, :special])
    map_BHWD = x_BND[:, special:].view(2, 4, 6, 5)
    for row in range(2):
        for column in range(3):
            square = map_BHWD[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            place = row * 3 + column
            torch.testing.assert_close(after.x_BND[:, special + place], square.mean((1, 2)))
            assert (after.parent_BP.view(2, 4, 6)[:, 2 * row, 2 * column + 1] == place).all()
            middle = torch.tensor([(row + 0.5) / 2, (column + 0.5) / 3]).double()
            torch.testing.assert_close(after.centres_BN2[0, place], middle)


def test_pooling_twice_follows_the_parents() -> None:
    state = track(TokenState(x_BND=torch.randn(1, 64, 3), grid=(8, 8)))

    after = POOL.forward(POOL.forward(state, None, {}, HALF), None, {}, HALF)

    parent = after.parent_BP.view(8, 8)
    assert torch.equal(
        parent, torch.arange(4).view(2, 2).repeat_interleave(4, 0).repeat_interleave(4, 1)
    )


@pytest.mark.parametrize(
    ("grid", "merged", "word"),
    [((4, 5), False, "divide"), (None, False, "grid"), ((4, 4), True, "merged")],
)
def test_it_says_where_it_cannot_stand(grid, merged: bool, word: str) -> None:
    geometry = Geometry(20 if grid is None else grid[0] * grid[1], grid, merged=merged)

    assert word in (POOL.card.rejects(geometry, HALF) or "")
