"""Sizes, centres and parents: what a reduction says of the patches it no longer shows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from search_spaces.architecture import Architecture
from supernet.attention import ATTENTIONS
from supernet.layers import ParameterGroup
from supernet.model import extract
from supernet.network import ResolvedNetwork, resolve
from supernet.tokens import TokenState
from tests.contracts.cases import CLASSES, LEGAL, PLACES, Case, Place


def patches_of(architecture: Architecture) -> int:
    """Patches of an image."""
    height, width = (side // architecture.patch_size for side in architecture.image_size)
    return height * width


def check_bookkeeping(state: TokenState, patches: int) -> None:
    """What must hold of the last tokens of any network, tracked from its embedding on."""
    assert state.parent_BP is not None
    assert state.centres_BN2 is not None
    assert state.parent_BP.shape[1] == patches
    assert state.centres_BN2.shape[1:] == (state.tokens, 2)
    assert ((state.centres_BN2 > 0) & (state.centres_BN2 < 1)).all()
    assert ((state.parent_BP >= -1) & (state.parent_BP < state.tokens)).all()
    if state.grid is not None:
        assert state.grid[0] * state.grid[1] == state.tokens
    for parent_P, size_N1 in zip(state.parent_BP, state.sizes_BN1(), strict=True):
        inhabited = parent_P[parent_P >= 0].unique()
        there = (size_N1[state.special :, 0] > 0).nonzero()[:, 0]
        assert torch.equal(inhabited, there), "a token stands for no patch, or padding for one"


def first_merging_tokens(network: ResolvedNetwork) -> int:
    """Patch tokens in front of the first merge: in these, sizes are counted."""
    blocks = [block for stage in network.stages for block in stage.blocks]
    return int(next(b.before.tokens for b in blocks if b.after.merged and not b.before.merged))


def check_sizes(state: TokenState, network: ResolvedNetwork) -> None:
    """No patch is counted twice, and none is lost but where tokens are dropped."""
    last = network.stages[-1].blocks[-1].after
    assert (state.size_BN1 is not None) == bool(last.merged)
    if state.size_BN1 is None:
        return
    assert (state.size_BN1[:, : state.special] == 1).all()
    total_B = state.size_BN1[:, state.special :].sum(dim=(1, 2))
    expected = float(first_merging_tokens(network))
    if last.ragged:
        assert ((total_B > 0) & (total_B <= expected)).all()
        return
    torch.testing.assert_close(total_B, torch.full_like(total_B, expected))


def check_size_of_each(state: TokenState) -> None:
    """Behind a single reduction, a size is the number of patches that ended in the token."""
    assert state.parent_BP is not None
    if state.size_BN1 is not None:
        parents = [parent_P[parent_P >= 0] for parent_P in state.parent_BP]
        ended = [parent_P.bincount(minlength=state.tokens) for parent_P in parents]
        assert torch.equal(state.size_BN1[:, state.special :, 0], torch.stack(ended).float())


def test_tokens_account_for_every_patch(case, place, supernet_at, images_at) -> None:
    architecture = case.architecture(place)
    model = extract(supernet_at(place, case.stages), architecture)

    state = model.forward_features(images_at(place), tracked=True).state

    check_bookkeeping(state, patches_of(architecture))
    check_sizes(state, resolve(architecture, CLASSES))
    check_size_of_each(state)


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_random_members_account_for_every_patch(
    place, stages, supernet_at, images_at, random_members
) -> None:
    supernet, images = supernet_at(place, stages), images_at(place)
    for architecture in random_members(supernet.space, 25, seed=11):
        state = supernet.forward_features(images, architecture, tracked=True).state

        check_bookkeeping(state, patches_of(architecture))
        check_sizes(state, resolve(architecture, CLASSES))


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_tracking_changes_no_result(place, supernet_at, images_at, random_members) -> None:
    supernet, images = supernet_at(place, 2), images_at(place)
    for architecture in random_members(supernet.space, 15, seed=5):
        plain = supernet.forward_features(images, architecture).state
        tracked = supernet.forward_features(images, architecture, tracked=True).state

        assert torch.equal(plain.x_BND, tracked.x_BND)


GRIDLESS = {op.name for op in ATTENTIONS if not op.card.needs_grid}
MIXERS = [(case, place) for case, place in LEGAL if case.setting.op in GRIDLESS]
MIXERS = [(case, place) for case, place in MIXERS if case.kind == "attention"]


MIXER_IDS = [f"{case}-{place.name}" for case, place in MIXERS]


class Layer:
    """A mixer alone, with random weights in float64."""

    def __init__(self, mixer: Case, at: Place) -> None:
        torch.manual_seed(4)
        block = resolve(mixer.architecture(at), CLASSES).stages[0].blocks[0]
        group = ParameterGroup.of(block.attention_part.specs, block.mixing)
        self.weights = {
            name: torch.randn_like(p).double() * 0.3 for name, p in group.tensors().items()
        }
        self.op, self.setting, self.sizes = (
            ATTENTIONS[mixer.setting.op],
            mixer.setting,
            block.mixing,
        )

    def __call__(self, y_BND: Tensor, size_BN1: Tensor) -> Tensor:
        state = TokenState(x_BND=y_BND, special=self.sizes.special, size_BN1=size_BN1)
        return self.op.forward(y_BND, state, self.weights, self.setting, self.sizes, None)[0]

    def tokens(self) -> Tensor:
        """Random tokens, special ones included."""
        return torch.randn(2, self.sizes.all_tokens, self.sizes.width, dtype=torch.float64)


@pytest.mark.parametrize(("mixer", "at"), MIXERS, ids=MIXER_IDS)
def test_attention_without_a_grid_has_no_order_of_tokens(mixer: Case, at: Place) -> None:
    """Permutation equivariance, merged tokens included."""
    layer = Layer(mixer, at)
    y_BND = layer.tokens()
    count = y_BND.shape[1]
    size_BN1 = torch.randint(1, 5, (2, count, 1)).double()
    patches = at.special + torch.randperm(count - at.special)
    order = torch.cat([torch.arange(at.special), patches])

    permuted = layer(y_BND[:, order], size_BN1[:, order])

    torch.testing.assert_close(permuted, layer(y_BND, size_BN1)[:, order], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("mixer", "at"), MIXERS, ids=MIXER_IDS)
def test_a_token_of_size_two_weighs_as_two(mixer: Case, at: Place) -> None:
    """Merging equal tokens changes nothing for anyone (ToMe's proportional attention)."""
    layer = Layer(mixer, at)
    y_BND = layer.tokens()
    count = y_BND.shape[1]
    size_BN1 = torch.ones(2, count, 1).double()
    twins = torch.cat([y_BND, y_BND[:, -1:]], dim=1)

    apart = layer(twins, torch.cat([size_BN1, size_BN1[:, -1:]], dim=1))
    size_BN1[:, -1] = 2

    torch.testing.assert_close(layer(y_BND, size_BN1), apart[:, :count], rtol=0, atol=1e-12)
