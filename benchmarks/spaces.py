"""The spaces that benchmarks run on."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any

from omegaconf import OmegaConf

from search_spaces.space import SearchSpace
from supernet.operators import all_cards

AUTOFORMER_T: dict[str, Any] = {
    "image_size": [224, 224],
    "channels": 3,
    "head_dim": 64,
    "patch_size": [16],
    "position": ["table"],
    "stages": [
        {
            "width": [192, 216, 240],
            "depth": [12, 13, 14],
            "heads": [3, 4],
            "mlp_ratio": [3.5, 4.0],
            "attention": ["softmax"],
            "reduction": ["none"],
        }
    ],
}
"""The choices of AutoFormer's tiny supernet, without its relative positions."""


def digits() -> SearchSpace:
    """The default space, on its one-channel images of 16 px."""
    text = (resources.files("conf") / "space" / "digits.yaml").read_text(encoding="utf-8")
    config = OmegaConf.create({"data": {"image_size": 16, "channels": 1}})
    config["space"] = OmegaConf.create(text)
    data: Any = OmegaConf.to_container(config, resolve=True)
    return SearchSpace(data["space"], all_cards())


def autoformer_t() -> SearchSpace:
    """Networks of AutoFormer-T's sizes at 224 px, softmax attention only."""
    return SearchSpace(AUTOFORMER_T, all_cards())


SPACES: dict[str, Callable[[], SearchSpace]] = {"digits": digits, "autoformer_t": autoformer_t}
