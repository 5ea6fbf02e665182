"""Invariant 1: a member of the supernet and its extracted model are the same function."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from supernet.model import extract
from tests.contracts.cases import CASES, LEGAL, PLACES, SHAPES

TOLERANCE = 1e-5


def test_every_operator_has_a_legal_place() -> None:
    placed = {case for case, _ in LEGAL}

    assert [str(case) for case in CASES if case not in placed] == []


def test_a_member_equals_its_extracted_model(case, place, supernet_at, images_at) -> None:
    supernet, images = supernet_at(place, case.stages), images_at(place)
    for width, heads in SHAPES:
        architecture = case.architecture(place, width, heads)

        logits, twin = supernet(images, architecture), extract(supernet, architecture)

        assert torch.isfinite(logits).all()
        torch.testing.assert_close(twin(images), logits, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("share", "stages"),
    [
        ("all", 1),
        ("all", 2),
        ("family", 2),
        ("none", 2),
        pytest.param("family", 1, marks=pytest.mark.slow),
        pytest.param("none", 1, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_random_members_equal_their_extracted_models(
    place, stages, share, supernet_at, images_at, random_members
) -> None:
    supernet, images = supernet_at(place, stages, share), images_at(place)
    for architecture in random_members(supernet.space, 8, seed=stages):
        logits, twin = supernet(images, architecture), extract(supernet, architecture)

        torch.testing.assert_close(twin(images), logits, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_calls_with_different_architectures_leave_nothing_behind(
    place, supernet_at, images_at, random_members
) -> None:
    supernet, images = supernet_at(place, 2), images_at(place)
    members = random_members(supernet.space, 12)

    first = [supernet(images, member) for member in members]
    supernet(images, members[0]).sum().backward()
    again = [supernet(images, member) for member in reversed(members)]
    supernet.zero_grad(set_to_none=True)

    assert all(torch.equal(a, b) for a, b in zip(first, reversed(again), strict=True))


def test_a_copy_is_equal_and_independent(supernet_at, images_at, random_members) -> None:
    original, images = supernet_at(PLACES[0]), images_at(PLACES[0])
    (member,) = random_members(original.space, 1)
    before = original(images, member)

    twin = copy.deepcopy(original)
    equal = torch.equal(twin(images, member), before)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1.0)

    assert equal
    assert torch.equal(original(images, member), before)
    assert not torch.equal(twin(images, member), before)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_precision_and_device_can_be_changed(place, supernet_at, images_at, random_members) -> None:
    original, images = supernet_at(place), images_at(place)
    double: Any = copy.deepcopy(original).double().to("cpu")
    for member in random_members(original.space, 6):
        logits = double(images.double(), member)

        assert logits.dtype == torch.float64
        torch.testing.assert_close(logits.float(), original(images, member), rtol=0, atol=1e-4)
        assert extract(double, member)(images.double()).dtype == torch.float64
