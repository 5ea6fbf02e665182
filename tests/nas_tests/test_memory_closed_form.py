"""The closed form of peak memory against the allocator's own events."""

from __future__ import annotations

import copy
from importlib import resources
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from nas.measurement.memory import measure_peak_activation_mb
from search_spaces.space import SearchSpace
from supernet.extract import build_model
from supernet.operators import all_cards
from supernet.workload import workload

CLASSES = 10


def default_data() -> dict[str, Any]:
    """The content of ``conf/space/digits.yaml`` for one-channel images of 16 px."""
    text = (resources.files("conf") / "space" / "digits.yaml").read_text(encoding="utf-8")
    config = OmegaConf.create({"data": {"image_size": 16, "channels": 1}})
    config["space"] = OmegaConf.create(text)
    resolved = OmegaConf.to_container(config, resolve=True)
    assert isinstance(resolved, dict)
    return dict(resolved["space"])


def larger_data(**changes: Any) -> dict[str, Any]:
    """The same operators at 32 px in colour, wider."""
    data = copy.deepcopy(default_data()) | {"image_size": [32, 32], "channels": 3, "head_dim": 32}
    data["stages"][0] |= {"width": [64, 96], "depth": [2, 3]}
    return data | changes


SPACES = {
    "default": default_data(),
    "larger": larger_data(),
    "class token": larger_data(special_tokens=1, pooling="class", position=["table"]),
    "two stages": larger_data(
        stages=[larger_data()["stages"][0], larger_data()["stages"][0] | {"width": [96, 128]}]
    ),
}


@pytest.mark.parametrize(("batch", "mean", "largest"), [(1, 0.01, 0.05), (4, 0.05, 0.15)])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(
            data, id=name, marks=() if name in ("default", "class token") else pytest.mark.slow
        )
        for name, data in SPACES.items()
    ],
)
def test_it_states_what_the_allocator_hands_out(
    data: dict[str, Any], batch: int, mean: float, largest: float
) -> None:
    """Exact to rounding for one image; for several, scratch is bounded from above."""
    space = SearchSpace(data, all_cards())
    errors = []
    for row in space.sample_genes(np.random.default_rng(0), 30):
        architecture = space.decode(row)
        images = torch.randn(batch, space.spec.channels, *space.spec.image_size)
        measured = measure_peak_activation_mb(build_model(architecture, CLASSES), images)
        stated = workload(architecture, CLASSES).peak_activation_mb(batch)
        errors.append(abs(stated / measured - 1))

    assert np.mean(errors) <= mean
    assert max(errors) <= largest
