"""How many candidates a search proposes at once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from nas.steps.batches import FEW, SHORT_MACS, SOME, evaluation_macs, proposed_at_once
from supernet.costs import SpaceCosts
from tests.search_spaces_tests.spaces import default_space

SPACE = default_space()
COSTS = SpaceCosts(SPACE, 10)


def run(images: int, asked: int | None = None) -> SimpleNamespace:
    search = SimpleNamespace(batch_size=asked)
    return SimpleNamespace(
        space=SPACE,
        costs=COSTS,
        dataset=SimpleNamespace(val=range(images)),
        config=SimpleNamespace(search=search),
    )


def test_twelve_where_evaluations_are_short_and_six_where_they_are_long() -> None:
    enough = int(SHORT_MACS / evaluation_macs(run(1)))
    assert proposed_at_once(run(enough - 1)) == SOME == 12
    assert proposed_at_once(run(enough + 2)) == FEW == 6


@pytest.mark.parametrize("images", [1, 10**7])
def test_what_was_asked_for_comes_first(images: int) -> None:
    assert proposed_at_once(run(images, asked=3)) == 3
