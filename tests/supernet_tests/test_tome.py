"""ToMe against a plain reading of its section 3, token by token."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from search_spaces.architecture import OpSetting
from search_spaces.card import Geometry
from supernet.attention import ATTENTIONS
from supernet.token_reduction import REDUCTIONS
from supernet.tokens import TokenState, track

TOME = REDUCTIONS["tome"]


def merged_by_hand(
    x_ND: Tensor, metric_NK: Tensor, size_N: Tensor, count: int
) -> list[tuple[set[int], Tensor, float]]:
    """(patches, token, size) of one image, in spatial order of the token that stays."""
    unit = metric_NK / metric_NK.norm(dim=1, keepdim=True)
    edges = []
    for a in range(0, len(x_ND), 2):
        cosines = {b: float(unit[a] @ unit[b]) for b in range(1, len(x_ND), 2)}
        best = max(cosines, key=lambda b: cosines[b])
        edges.append((cosines[best], a, best))
    members = {place: {place} for place in range(len(x_ND))}
    for _, a, b in sorted(edges, reverse=True)[:count]:
        members[b] |= members.pop(a)
    tokens = []
    for place in sorted(members):
        ids = sorted(members[place])
        size = size_N[ids].sum()
        tokens.append((members[place], (x_ND[ids] * size_N[ids, None]).sum(0) / size, float(size)))
    return tokens


@pytest.mark.parametrize("special", [0, 1, 2])
@pytest.mark.parametrize("count", [1, 5, 8])
@pytest.mark.parametrize("by_keys", [True, False])
def test_it_equals_the_method_written_out(special: int, count: int, by_keys: bool) -> None:
    torch.manual_seed(count)
    x_BND = torch.randn(3, 16 + special, 12).double()
    metric = torch.randn(3, 16 + special, 4).double() if by_keys else None
    size_BN1 = torch.randint(1, 4, (3, 16 + special, 1)).double()
    size_BN1[:, :special] = 1
    state = track(TokenState(x_BND=x_BND, special=special, grid=(4, 4))).but(size_BN1=size_BN1)

    after = TOME.forward(state, metric, {}, OpSetting.of("tome", r=count))

    assert after.grid is None
    assert after.tokens == 16 - count
    assert torch.equal(after.x_BND[:, :special], x_BND[:, :special])
    used = x_BND if metric is None else metric
    for image in range(3):
        expected = merged_by_hand(
            x_BND[image, special:], used[image, special:], size_BN1[image, special:, 0], count
        )
        for place, (patches, token, size) in enumerate(expected):
            torch.testing.assert_close(after.x_BND[image, special + place], token)
            assert after.size_BN1[image, special + place, 0] == size
            assert set((after.parent_BP[image] == place).nonzero().flatten().tolist()) == patches
            centres, sizes = state.centres_BN2[image], size_BN1[image, special:]
            ids = sorted(patches)
            middle = (centres[ids] * sizes[ids]).sum(0) / sizes[ids].sum()
            torch.testing.assert_close(after.centres_BN2[image, place], middle)


def test_merging_equal_tokens_changes_no_attention() -> None:
    """Proportional attention: a token of size 2 weighs as two (eq. 1)."""
    torch.manual_seed(0)
    x_BND = torch.randn(1, 8, 12).double()
    x_BND[:, 2] = x_BND[:, 3]  # the only pair of equal tokens is what one merge takes
    state = TokenState(x_BND=x_BND, grid=(2, 4))
    op, setting = ATTENTIONS["softmax"], OpSetting("softmax")
    from search_spaces.workload import Sizes
    from supernet.layers import ParameterGroup

    sizes = Sizes(width=12, heads=2, head_dim=4)
    w = {
        n: p.double() for n, p in ParameterGroup.of(op.card.specs(setting), sizes).tensors().items()
    }

    after = TOME.forward(state, None, {}, OpSetting.of("tome", r=1))
    whole = op.forward(x_BND, state, w, setting, sizes, None)[0]
    fewer = op.forward(after.x_BND, after, w, setting, sizes, None)[0]

    assert after.size_BN1.flatten().tolist() == [1, 1, 2, 1, 1, 1, 1]
    torch.testing.assert_close(fewer, whole[:, [0, 1, 3, 4, 5, 6, 7]])


def test_gradient_reaches_every_token_and_not_the_choice() -> None:
    x_BND = torch.randn(2, 16, 12, requires_grad=True)
    metric_BND = torch.randn(2, 16, 4, requires_grad=True)

    after = TOME.forward(
        TokenState(x_BND=x_BND, grid=(4, 4)), metric_BND, {}, OpSetting.of("tome", keep=0.5)
    )
    (after.x_BND * torch.randn(2, 8, 12)).sum().backward()

    assert (x_BND.grad != 0).all()
    assert metric_BND.grad is None


@pytest.mark.parametrize(
    ("setting", "tokens", "left"),
    [
        (OpSetting.of("tome", keep=0.75), 16, 12),
        (OpSetting.of("tome", keep=0.75), 5, 4),
        (OpSetting.of("tome", keep=0.5), 7, 4),
        (OpSetting.of("tome", r=3), 7, 4),
        (OpSetting.of("tome", r=0), 7, 7),
        (OpSetting.of("tome", keep=1.0), 7, 7),
    ],
)
def test_tokens_behind_it(setting: OpSetting, tokens: int, left: int) -> None:
    geometry = Geometry(tokens, None)

    assert TOME.card.rejects(geometry, setting) is None
    assert TOME.card.after(geometry, setting).tokens == left


@pytest.mark.parametrize(
    ("setting", "tokens"),
    [
        (OpSetting.of("tome", r=4), 7),
        (OpSetting.of("tome", keep=0.4), 16),
        (OpSetting.of("tome", keep=0.9), 5),
        (OpSetting.of("tome", keep=0.5, r=2), 16),
        (OpSetting("tome"), 16),
    ],
)
def test_what_would_be_clamped_is_refused(setting: OpSetting, tokens: int) -> None:
    assert TOME.card.rejects(Geometry(tokens, None), setting) is not None
