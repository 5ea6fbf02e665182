"""What the contract tests share: a supernet of all registered operators at every place."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from search_spaces.architecture import Architecture
from search_spaces.space import SearchSpace
from supernet.attention import ATTENTIONS
from supernet.embedding import EMBEDDINGS
from supernet.model import Supernet
from supernet.operators import all_cards
from supernet.position import POSITIONS
from supernet.token_reduction import REDUCTIONS
from supernet.transition import TRANSITIONS
from tests.contracts.cases import (
    CLASSES,
    HEAD_DIM,
    HEADS,
    LEGAL,
    LEGAL_IDS,
    WIDTHS,
    Place,
    is_fast,
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that ask for ``case`` and ``place`` run over every operator where it may stand."""
    if {"case", "place"} <= set(metafunc.fixturenames):
        given = [
            pytest.param(*pair, id=name, marks=() if is_fast(*pair) else pytest.mark.slow)
            for pair, name in zip(LEGAL, LEGAL_IDS, strict=True)
        ]
        metafunc.parametrize(("case", "place"), given)


def _space(place: Place, stages: int) -> SearchSpace:
    layers = {
        "width": list(WIDTHS),
        "depth": [2, 3],
        "heads": list(HEADS),
        "mlp_ratio": [1, 1.5, 2],
        "attention": ATTENTIONS.names(),
        "reduction": REDUCTIONS.names(),
    }
    later = {**layers, "transition": [name for name in TRANSITIONS.names() if name != "none"]}
    data: dict[str, Any] = {
        "image_size": list(place.image_size),
        "channels": 1,
        "head_dim": HEAD_DIM,
        "patch_size": [place.patch_size, 2 * place.patch_size],
        "embedding": EMBEDDINGS.names(),
        "position": POSITIONS.names(),
        "pooling": place.pooling,
        "special_tokens": place.special,
        "min_tokens": 2,
        "stages": [layers, *[later] * (stages - 1)],
    }
    return SearchSpace(data, all_cards())


@cache
def _supernet(place: Place, stages: int, share: Any) -> Supernet:
    generator = torch.random.get_rng_state()
    torch.manual_seed(0)
    supernet = Supernet(_space(place, stages), CLASSES, share).eval()
    with torch.no_grad():
        for parameter in supernet.parameters():
            # Zeros and ones would hide a parameter that is read from the wrong place.
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    torch.random.set_rng_state(generator)
    return supernet


@pytest.fixture(scope="session")
def supernet_at() -> Callable[..., Supernet]:
    """``supernet_at(place, stages=1, share="all")``: all operators; not to be changed."""

    def build(place: Place, stages: int = 1, share: str = "all") -> Supernet:
        return _supernet(place, stages, share)

    return build


@pytest.fixture(scope="session")
def random_members() -> Callable[..., list[Architecture]]:
    """``random_members(space, count, seed=0)``: legal architectures, uniform per gene."""

    def draw(space: SearchSpace, count: int, seed: int = 0) -> list[Architecture]:
        rows = space.sample_genes(np.random.default_rng(seed), count)
        return [space.decode(row) for row in rows]

    return draw


@pytest.fixture(scope="session")
def images_at() -> Callable[..., Tensor]:
    """``images_at(place, count)``: noise of the place's size, the same in every call."""

    def make(place: Place, count: int = 2) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        return torch.randn(count, 1, *place.image_size, generator=generator)

    return make
