"""What the walk accepts runs; what it rejects comes with a reason. No operator raises."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from search_spaces.architecture import OpSetting
from search_spaces.automaton import IntArray
from search_spaces.card import Card, Geometry
from search_spaces.space import SearchSpace
from supernet.attention import ATTENTIONS
from supernet.extract import build_model
from supernet.position import POSITIONS
from supernet.token_reduction import REDUCTIONS
from supernet.transition import TRANSITIONS
from tests.contracts.cases import CLASSES, PLACES, Case, settings_of, why_illegal

GENES = 600
"""Gene rows a place and number of stages; a quarter of the legal ones is run."""


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_random_genes_run_or_are_refused_with_a_reason(
    place, stages, supernet_at, images_at
) -> None:
    supernet, images = supernet_at(place, stages), images_at(place, 1)
    rng = np.random.default_rng(stages)
    accepted = rejected = 0
    with torch.no_grad():
        for genes_G in _nearly_legal(supernet.space, rng, GENES):
            architecture = supernet.space.decode(genes_G)
            reason = why_illegal(architecture)
            if reason is not None:
                rejected += 1
                assert len(reason) > 10, reason
                continue
            accepted += 1
            if accepted % 4 == 0:
                logits = supernet(images, architecture)
                assert logits.shape == (1, CLASSES)
                assert torch.isfinite(logits).all()

    assert min(accepted, rejected) > GENES // 10


def _nearly_legal(space: SearchSpace, rng: np.random.Generator, count: int) -> IntArray:
    """Legal rows with a few genes redrawn and not repaired: near the border from both sides."""
    rows = space.sample_genes(rng, count)
    fresh = rng.integers([len(gene.choices) for gene in space.genes], size=rows.shape)
    return np.where(rng.random(rows.shape) < 0.15, fresh, rows)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_the_walk_and_the_space_agree(place, supernet_at) -> None:
    space = supernet_at(place, 2).space
    rng = np.random.default_rng(8)
    genes_BG = _nearly_legal(space, rng, 300)
    repaired, _ = space.repair(genes_BG)

    for asked, legal in zip(genes_BG, repaired, strict=True):
        architecture = space.decode(asked)
        unchanged = space.decode(legal) == architecture

        assert space.contains(architecture) == unchanged
        assert space.contains(space.decode(legal))


def _cards() -> list[Card]:
    registries = (ATTENTIONS, REDUCTIONS, TRANSITIONS, POSITIONS)
    return [op.card for registry in registries for op in registry]


def _odd_settings(card: Card, rng: np.random.Generator) -> list[OpSetting]:
    """Settings with values far from the default choices, of the same kinds."""
    odd = [0, 1, 2, 3, 5, 7, 8, 64], [0.0, 0.05, 0.3, 0.5, 0.99, 1.0, 1.5]
    settings = []
    for base in settings_of(card):
        for _ in range(12):
            params = {
                name: float(rng.choice(odd[1]))
                if isinstance(value, float)
                else int(rng.choice(odd[0]))
                for name, value in base.params
            }
            settings.append(OpSetting.of(card.name, **params))
    return settings


@pytest.mark.parametrize("card", _cards(), ids=lambda card: card.name)
def test_a_card_answers_for_any_geometry_and_setting(card) -> None:
    """``rejects`` never raises, and what it lets pass has a sensible effect."""
    rng = np.random.default_rng(0)
    grids = [(1, 1), (2, 2), (3, 5), (4, 8), (7, 7), (8, 8), None]
    for setting in _odd_settings(card, rng):
        for grid in grids:
            for merged in (False, True):
                tokens = 13 if grid is None else grid[0] * grid[1]
                geometry = Geometry(tokens, grid, special=1, merged=merged)
                reason = card.rejects(geometry, setting)
                if reason is not None:
                    assert len(reason) > 10
                elif hasattr(card, "after"):
                    after = card.after(geometry, setting)
                    assert 1 <= after.tokens <= tokens
                    assert after.special == 1
                    assert after.merged or not merged
                    assert after.grid is None or after.grid[0] * after.grid[1] == after.tokens


SETTABLE = {
    op.name: (kind, op.card)
    for kind, registry in (("attention", ATTENTIONS), ("reduction", REDUCTIONS))
    for op in registry
    if op.card.choices
}


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
@pytest.mark.parametrize("name", SETTABLE)
def test_odd_settings_run_or_are_refused_with_a_reason(name, place, images_at) -> None:
    """The settings a user may write into a space, beyond the default choices."""
    kind, card = SETTABLE[name]
    ran = 0
    for setting in _odd_settings(card, np.random.default_rng(3)):
        architecture = Case(kind=kind, setting=setting).architecture(place, 24, 2)
        reason = why_illegal(architecture)
        if reason is None and ran < 3:
            logits = build_model(architecture, CLASSES)(images_at(place, 1))
            assert torch.isfinite(logits).all(), setting
            ran += 1
        assert reason is None or len(reason) > 10
