"""ATS against its sections 3.1 and 3.2, and networks whose images keep different numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from search_spaces.architecture import NONE, Architecture, Block, OpSetting, Stage
from search_spaces.automaton import SingleRules, walk
from search_spaces.card import Geometry
from search_spaces.space import SearchSpace
from supernet.costs import SpaceCosts
from supernet.extract import VisionTransformer, build_model
from supernet.heads import attention_score
from supernet.operators import all_cards
from supernet.ragged import in_batches, is_ragged, token_counts
from supernet.token_reduction import REDUCTIONS
from supernet.token_reduction.ats import sampled
from supernet.tokens import TokenState
from supernet.workload import workload

ATS = REDUCTIONS["ats"]
HALF = OpSetting.of("ats", keep=0.5)
CLASSES = 4


def network(*reductions: OpSetting) -> Architecture:
    """A small network with a class token and these reductions, a layer each."""
    size = {"attention": OpSetting("softmax"), "heads": 2, "head_dim": 8, "mlp_hidden": 24}
    blocks = tuple(Block(reduction=reduction, **size) for reduction in reductions)
    return Architecture(
        image_size=(16, 16),
        channels=1,
        patch_size=2,
        stages=(Stage(width=16, blocks=blocks),),
        position=OpSetting("table"),
        special_tokens=1,
        pooling="class",
    )


def images(count: int) -> Tensor:
    """Images of very different contrast."""
    torch.manual_seed(0)
    return torch.randn(count, 1, 16, 16) * torch.logspace(-1, 1, count)[:, None, None, None]


def decided() -> VisionTransformer:
    """A model whose class token has favourites, as a trained one's has."""
    torch.manual_seed(3)
    model = build_model(network(HALF, NONE), CLASSES).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("q_weight", "k_weight")):
                weight.mul_(40)
    return model


def written_out(score_n: np.ndarray, points: int) -> set[int]:
    """The method for one image, as its text says it."""
    order = np.argsort(score_n, kind="stable")
    share = np.cumsum(score_n[order])
    share = (share - share[0]) / (share[-1] - share[0])
    return {int(order[np.argmin(abs(share - u))]) for u in np.linspace(0, 1, points)}


@pytest.mark.parametrize("points", [2, 5, 12])
def test_it_picks_what_the_method_written_out_picks(points: int) -> None:
    score_Bn = torch.rand(50, 12, generator=torch.Generator().manual_seed(points)).double() ** 4

    picked_Bn = sampled(score_Bn, points)

    for score_n, picked_n in zip(score_Bn.numpy(), picked_Bn, strict=True):
        assert set(picked_n.nonzero()[:, 0].tolist()) == written_out(score_n, points)


@pytest.mark.parametrize("score", [1.0, 0.0])
def test_even_significance_keeps_as_many_as_allowed(score: float) -> None:
    assert sampled(torch.full((3, 20), score), 7).sum(dim=1).tolist() == [7, 7, 7]


def test_the_token_that_matters_most_is_kept_and_few_of_the_rest() -> None:
    score_Bn = torch.full((1, 40), 1e-3)
    score_Bn[0, 17] = 1.0

    picked_n = sampled(score_Bn, 20)[0]

    assert picked_n[17] == 1
    assert picked_n.sum() <= 3


def test_kept_tokens_are_untouched_in_their_order_and_padding_weighs_nothing() -> None:
    torch.manual_seed(1)
    state = TokenState(x_BND=torch.randn(4, 21, 3), special=1, grid=(4, 5))
    score_Bn = torch.rand(4, 20) ** 6

    after = ATS.forward(state, score_Bn, {}, HALF)

    picked_Bn = sampled(score_Bn, 10)
    assert after.grid is None
    assert after.tokens == picked_Bn.sum(dim=1).max()
    assert torch.equal(after.x_BND[:, 0], state.x_BND[:, 0])
    for image, picked_n in enumerate(picked_Bn):
        count = int(picked_n.sum())
        assert torch.equal(after.patches_BND[image, :count], state.patches_BND[image][picked_n > 0])
        assert after.sizes_BN1()[image, 1:, 0].tolist() == [1] * count + [0] * (
            after.tokens - count
        )


def test_the_number_of_tokens_depends_on_the_image_and_never_on_its_neighbours() -> None:
    model = decided()
    alone = np.concatenate([token_counts(model, image[None]) for image in images(12)])

    together = token_counts(model, images(12))

    assert together.tolist() == alone.tolist()
    assert len(set(together.tolist())) > 1
    assert together.max() <= 32


@pytest.mark.slow
def test_a_fixed_number_of_places_gives_the_same_answer() -> None:
    """As exported and compiled graphs run it: all K places, padding among them."""
    model = decided()
    program = torch.export.export(model, (images(5),)).module()

    torch.testing.assert_close(program(images(5)), model(images(5)), rtol=0, atol=1e-5)


def test_significance_is_class_attention_times_the_norm_of_values() -> None:
    torch.manual_seed(2)
    q, k, v = (torch.randn(2, 3, 6, 4).double() for _ in range(3))
    maps_BHNN = (q @ k.transpose(2, 3) / 2).softmax(dim=-1)
    norm_BN = v.transpose(1, 2).flatten(2).norm(dim=2)

    score_Bn = attention_score("significance", q, k, None, 1, v)

    expected_BN = maps_BHNN[:, :, 0].mean(dim=1) * norm_BN
    torch.testing.assert_close(score_Bn, expected_BN[:, 1:])


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("ats(keep=0.0)", "needs 0 < keep"),
        ("ats(keep=0.01)", "needs 2 to 64 tokens to sample, not 1"),
        ("ats(tokens=65)", "needs 2 to 64 tokens to sample, not 65"),
    ],
)
def test_what_it_rejects(setting: str, reason: str) -> None:
    said = ATS.card.rejects(Geometry(64, (8, 8)), OpSetting.parse(setting))

    assert said is not None
    assert reason in said


@pytest.mark.parametrize("second", ["ats(keep=0.5)", "evit(keep=0.5)", "tome(keep=0.75)"])
def test_nothing_reduces_tokens_whose_number_depends_on_the_image(second: str) -> None:
    rules = SingleRules(image_size=(16, 16), special_tokens=1)

    said = walk(rules, all_cards(), network(HALF, OpSetting.parse(second)))

    assert isinstance(said, str)
    assert "images have different numbers of tokens here" in said


def test_a_trace_of_the_most_tokens_costs_what_is_stated_everywhere() -> None:
    space = SearchSpace(
        {
            "image_size": [16, 16],
            "channels": 1,
            "patch_size": [2],
            "head_dim": 8,
            "special_tokens": 1,
            "position": ["table"],
            "pooling": "class",
            "stages": [
                {
                    "depth": [2, 3],
                    "width": [16, 24],
                    "heads": [1, 2],
                    "mlp_ratio": [1, 2],
                    "attention": ["softmax", "separable", "none"],
                    "reduction": ["none", {"op": "tome", "keep": 0.75}, {"op": "ats", "keep": 0.5}],
                }
            ],
        },
        all_cards(),
    )
    costs = SpaceCosts(space, CLASSES)
    rows = space.sample_genes(np.random.default_rng(0), 200)
    found = [(row, space.decode(row)) for row in rows]
    ragged = [(row, a) for row, a in found if is_ragged(a)]
    assert len(ragged) > 20
    for row, architecture in ragged:
        stated = costs(row[None])
        most = workload(architecture, CLASSES).layers[-1].tokens_in - 1

        macs_B, features_BF = costs.traced(architecture, np.array([2, most]))

        np.testing.assert_allclose(features_BF[1:], stated.features_BF)
        assert macs_B[0] < macs_B[1] == stated.macs_B[0]


def test_a_call_of_several_images_runs_as_many_tokens_as_its_longest() -> None:
    assert in_batches(np.array([3, 9, 4, 5, 8, 1, 7]), 3).tolist() == [9, 8]
    assert in_batches(np.array([3, 9]), 1).tolist() == [3, 9]
    assert in_batches(np.array([3, 9]), 8).tolist() == [9]
