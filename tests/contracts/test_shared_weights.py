"""Attention types of a layer share their matrices, so that more types cost few more weights."""

from __future__ import annotations

import copy
from importlib import resources
from typing import Any

import pytest
from omegaconf import OmegaConf

from search_spaces.space import SearchSpace
from supernet.model import Supernet
from supernet.operators import all_cards

MOST = 1.25


def default_space() -> dict[str, Any]:
    """The space of ``conf/space/digits.yaml`` for one-channel images of 16 px."""
    text = (resources.files("conf") / "space" / "digits.yaml").read_text(encoding="utf-8")
    config = OmegaConf.create({"data": {"image_size": 16, "channels": 1}})
    config["space"] = OmegaConf.create(text)
    resolved = OmegaConf.to_container(config, resolve=True)
    assert isinstance(resolved, dict)
    return dict(resolved["space"])


def with_attention(data: dict[str, Any], attention: list[Any]) -> SearchSpace:
    """The same space with other attention types in every stage."""
    data = copy.deepcopy(data)
    for stage in data["stages"]:
        stage["attention"] = attention
    return SearchSpace(data, all_cards())


def parameters(space: SearchSpace, share: Any) -> int:
    """Parameters of its supernet."""
    return sum(p.numel() for p in Supernet(space, 10, share).parameters())


def test_all_types_together_cost_at_most_a_quarter_more_than_softmax() -> None:
    data = default_space()
    alone = parameters(with_attention(data, ["softmax"]), "all")

    assert parameters(SearchSpace(data, all_cards()), "all") <= MOST * alone


@pytest.mark.parametrize("wider", ["family", "none"])
def test_sharing_less_costs_more(wider: str) -> None:
    space = SearchSpace(default_space(), all_cards())

    assert parameters(space, wider) > parameters(space, "all")
