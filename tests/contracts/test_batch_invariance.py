"""Invariant 3: an image's logits do not depend on the images beside it."""

from __future__ import annotations

import pytest
import torch

from supernet.model import extract
from tests.contracts.cases import PLACES

TOLERANCE = 1e-10


def test_a_batch_equals_its_images_one_by_one(case, place, supernet_at, images_at) -> None:
    model = extract(supernet_at(place, case.stages), case.architecture(place)).double()
    images = images_at(place, 4).double()

    one_by_one = torch.cat([model(image[None]) for image in images])

    torch.testing.assert_close(model(images), one_by_one, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_random_members_are_batch_invariant(place, supernet_at, images_at, random_members) -> None:
    supernet, images = supernet_at(place, 2), images_at(place, 4).double()
    for architecture in random_members(supernet.space, 8, seed=7):
        model = extract(supernet, architecture).double()

        one_by_one = torch.cat([model(image[None]) for image in images])

        torch.testing.assert_close(model(images), one_by_one, rtol=0, atol=TOLERANCE)
