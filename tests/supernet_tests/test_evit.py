"""EViT against its section 3.2, token by token."""

from __future__ import annotations

import pytest
import torch

from search_spaces.architecture import OpSetting
from search_spaces.card import Geometry
from supernet.token_reduction import REDUCTIONS
from supernet.tokens import TokenState, track

EVIT = REDUCTIONS["evit"]


@pytest.mark.parametrize("special", [0, 1])
@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("scored", [True, False])
def test_it_equals_the_method_written_out(special: int, sized: bool, scored: bool) -> None:
    torch.manual_seed(0)
    x_BND = torch.randn(3, 12 + special, 5).double()
    score_Bn = torch.rand(3, 12).double() if scored else None
    size_BN1 = torch.randint(1, 4, (3, 12 + special, 1)).double()
    state = track(TokenState(x_BND=x_BND, special=special, grid=(3, 4)))
    state = state.but(size_BN1=size_BN1 if sized else None)

    after = EVIT.forward(state, score_Bn, {}, OpSetting.of("evit", keep=0.5))

    assert after.grid is None
    assert after.tokens == 7
    for image in range(3):
        patches = x_BND[image, special:]
        norms = patches.norm(dim=1)
        score = norms / norms.sum() if score_Bn is None else score_Bn[image]
        kept = sorted(score.argsort(descending=True)[:6].tolist())
        gone = sorted(set(range(12)) - set(kept))
        fused = (patches[gone] * score[gone, None]).sum(0)
        expected = torch.cat([x_BND[image, :special], patches[kept], fused[None]])
        torch.testing.assert_close(after.x_BND[image], expected)
        parent = [kept.index(p) if p in kept else 6 for p in range(12)]
        assert after.parent_BP[image].tolist() == parent
        weight = size_BN1[image, special:] if sized else torch.ones(12, 1).double()
        middle = (state.centres_BN2[image][gone] * weight[gone]).sum(0) / weight[gone].sum()
        torch.testing.assert_close(after.centres_BN2[image, 6], middle)
        if sized:
            assert after.size_BN1[image, -1, 0] == weight[gone].sum()
            assert after.size_BN1[image, special:-1, 0].tolist() == weight[kept, 0].tolist()
    assert sized or after.size_BN1 is None


def test_a_dropped_patch_stays_dropped_and_others_follow() -> None:
    state = TokenState(
        x_BND=torch.randn(1, 4, 5),
        centres_BN2=torch.rand(1, 4, 2),
        parent_BP=torch.tensor([[0, -1, 1, 2, 3, 3]]),
    )

    after = EVIT.forward(
        state, torch.tensor([[0.1, 0.5, 0.2, 0.4]]), {}, OpSetting.of("evit", keep=0.5)
    )

    assert after.parent_BP.tolist() == [[2, -1, 0, 2, 1, 1]]


def test_gradient_reaches_tokens_and_score() -> None:
    x_BND = torch.randn(2, 16, 12, requires_grad=True)
    score_Bn = torch.rand(2, 16, requires_grad=True)

    after = EVIT.forward(
        TokenState(x_BND=x_BND, grid=(4, 4)), score_Bn, {}, OpSetting.of("evit", keep=0.5)
    )
    (after.x_BND * torch.randn(2, 9, 12)).sum().backward()

    assert (x_BND.grad != 0).all()
    assert ((score_Bn.grad != 0).sum(dim=1) == 8).all()


@pytest.mark.parametrize(
    ("keep", "tokens", "left"), [(0.7, 196, 139), (0.5, 4, 3), (1.0, 4, 4), (0.5, 3, None)]
)
def test_tokens_behind_it(keep: float, tokens: int, left: int | None) -> None:
    setting, geometry = OpSetting.of("evit", keep=keep), Geometry(tokens, None)
    reason = EVIT.card.rejects(geometry, setting)

    assert (reason is None) == (left is not None)
    if left is not None:
        assert EVIT.card.after(geometry, setting).tokens == left
