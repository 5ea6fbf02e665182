"""Frozen members answer as their members do, and go the plain way wherever oneDNN cannot."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from search_spaces.space import SearchSpace
from supernet import frozen, products
from supernet.model import Supernet
from supernet.operators import all_cards
from supernet.products import Factor, linear_gelu

needs_onednn = pytest.mark.skipif(not products._is_there(), reason="torch has no oneDNN here")

ALL_OPERATORS = {
    "image_size": [16, 16],
    "channels": 1,
    "head_dim": 8,
    "patch_size": [2, 4],
    "position": ["peg", "table"],
    "stages": [
        {
            "width": [16, 32],
            "depth": [1, 2, 3],
            "heads": [1, 2, 4],
            "mlp_ratio": [1, 2],
            "attention": [
                "softmax",
                "separable",
                "none",
                {"op": "hilo", "alpha": 0.5, "window": 2},
                {"op": "window", "size": 2},
            ],
            "reduction": ["none", {"op": "tome", "keep": 0.75}, {"op": "evit", "keep": 0.5}],
        }
    ],
}
AUTOFORMER = {
    "image_size": [32, 32],
    "channels": 3,
    "head_dim": 16,
    "patch_size": [8],
    "position": ["relative2d"],
    "special_tokens": 1,
    "joint_qkv_bias": True,
    "stages": [
        {
            "width": [24, 32],
            "depth": [2, 3],
            "heads": [1, 2],
            "mlp_ratio": [2, 4],
            "attention": ["softmax"],
            "reduction": ["none"],
        }
    ],
}


@pytest.fixture
def of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let oneDNN have networks too small to gain from it."""
    monkeypatch.setattr(frozen, "LARGE", 0)
    monkeypatch.setattr(products, "WORTHWHILE", 0)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was computed by oneDNN meanwhile."""
    found: list[str] = []
    multiply = products._multiply

    def watched(x: Tensor, laid_out: Tensor, bias: Tensor | None, behind: str) -> Tensor:
        found.append(behind)
        return multiply(x, laid_out, bias, behind)

    monkeypatch.setattr(products, "_multiply", watched)
    return found


def supernet_of(data: dict[str, Any]) -> Supernet:
    torch.manual_seed(0)
    supernet = Supernet(SearchSpace(data, all_cards()), 5).eval()
    with torch.no_grad():
        for parameter in supernet.parameters():  # biases begin at zero, where they could be lost
            parameter.add_(0.05 * torch.randn_like(parameter))
    return supernet


def images_of(supernet: Supernet, count: int = 3) -> Tensor:
    spec = supernet.space.spec
    return torch.randn(count, spec.channels, *spec.image_size)


@needs_onednn
@pytest.mark.usefixtures("of_any_size")
@pytest.mark.parametrize("data", [ALL_OPERATORS, AUTOFORMER], ids=["operators", "autoformer"])
def test_a_frozen_member_answers_as_its_member(data: dict[str, Any], calls: list[str]) -> None:
    supernet = supernet_of(data)
    images = images_of(supernet)
    for row in supernet.space.sample_genes(np.random.default_rng(0), 25):
        member = supernet.member(supernet.space.decode(row))
        kept = member.frozen()
        with torch.inference_mode():
            wanted, found, again = member(images), kept(images), kept(images)

        layers = sum(len(stage.blocks) for stage in member.network.stages)
        assert calls.count("gelu") == 2 * layers
        calls.clear()
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
        assert torch.equal(found, again)
        assert type(found) is Tensor


@needs_onednn
def test_only_large_batches_are_multiplied_by_onednn(calls: list[str]) -> None:
    stage: dict[str, Any] = {"width": [64], "depth": [1], "heads": [4], "mlp_ratio": [4]}
    stage |= {"attention": ["softmax"], "reduction": ["none"]}
    supernet = supernet_of(
        AUTOFORMER | {"image_size": [64, 64], "patch_size": [4], "stages": [stage]}
    )
    member = supernet.member(supernet.space.largest())
    for count, expected in ((2, 0), (64, 6)):  # q, k, v, o and two of the MLP; the head is small
        images = images_of(supernet, count)
        with torch.no_grad():
            found, wanted = member.frozen()(images), member(images)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
        assert len(calls) == expected


@pytest.mark.filterwarnings("ignore:TF32")  # what oneDNN's switch says in passing
@pytest.mark.usefixtures("of_any_size")
@pytest.mark.parametrize(
    "contexts",
    [
        (),
        (torch.no_grad, lambda: torch.autocast("cpu", dtype=torch.bfloat16)),
        (torch.no_grad, lambda: torch.backends.mkldnn.flags(enabled=False)),
    ],
    ids=["with gradients", "autocast", "switched off"],
)
def test_elsewhere_it_is_the_member_itself(
    contexts: tuple[Callable[[], AbstractContextManager[Any]], ...], calls: list[str]
) -> None:
    supernet = supernet_of(ALL_OPERATORS)
    member = supernet.member(supernet.space.largest())
    images = images_of(supernet)

    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context())
        found, wanted = member.frozen()(images), member(images)

    assert torch.equal(found, wanted)
    assert found.requires_grad == wanted.requires_grad
    assert not calls


@pytest.mark.usefixtures("of_any_size")
def test_a_build_without_the_operators_and_double_go_the_plain_way(
    monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    supernet = supernet_of(ALL_OPERATORS).double()
    architecture = supernet.space.largest()
    images = images_of(supernet)
    with torch.no_grad():
        double = supernet.member(architecture).frozen()(images.double())
        assert torch.equal(double, supernet(images.double(), architecture))

        monkeypatch.setattr(products, "_is_there", lambda: False)
        member = supernet.float().member(architecture)
        assert torch.equal(member.frozen()(images), member(images))
    assert not calls


@needs_onednn
@pytest.mark.usefixtures("of_any_size")
def test_a_member_goes_on_learning_beside_its_frozen_self(calls: list[str]) -> None:
    supernet = supernet_of(ALL_OPERATORS)
    architecture, images = supernet.space.largest(), images_of(supernet)
    member = supernet.member(architecture)
    with torch.inference_mode():
        member.frozen()(images)
    seen = len(calls)

    loss: Any = member(images).square().sum()
    loss.backward()
    with torch.no_grad():
        for parameter in supernet.parameters():
            if parameter.grad is not None:
                parameter.sub_(0.01 * parameter.grad)
        again = member.frozen()(images)
        assert len(calls) == 2 * seen
        torch.testing.assert_close(again, supernet(images, architecture), rtol=1e-5, atol=1e-5)


def test_a_factor_is_an_ordinary_tensor_elsewhere() -> None:
    weight, x, bias = torch.randn(6, 4), torch.randn(3, 4), torch.randn(6)
    factor = Factor.of(weight)
    for made in (factor[:2], factor.sum(0), factor.T, factor + 1):
        assert type(made) is Tensor
    assert torch.equal(F.linear(x, factor, bias), F.linear(x, weight, bias))
    assert torch.equal(F.linear(x, weight=factor), F.linear(x, weight))
    assert torch.equal(linear_gelu(x, factor, bias), F.gelu(F.linear(x, weight, bias)))
    assert type(F.linear(x, factor)) is Tensor
