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


def _packaged(name: str, image_size: int, channels: int) -> dict[str, Any]:
    """The content of ``conf/space/NAME.yaml`` for images of one size."""
    text = (resources.files("conf") / "space" / f"{name}.yaml").read_text(encoding="utf-8")
    config = OmegaConf.create({"data": {"image_size": image_size, "channels": channels}})
    config["space"] = OmegaConf.create(text)
    data: Any = OmegaConf.to_container(config, resolve=True)
    return dict(data["space"])


def _digits_data(**changes: Any) -> dict[str, Any]:
    """The default space's content for one-channel images of 16 px; ``changes`` go to its stage."""
    data = _packaged("digits", 16, 1)
    data["stages"][0] |= changes
    return data


def digits() -> SearchSpace:
    """The default space."""
    return SearchSpace(_digits_data(), all_cards())


def deep_digits() -> SearchSpace:
    """The default operators in eight to ten layers: 46 genes."""
    return SearchSpace(_digits_data(depth=[8, 9, 10]), all_cards())


def colour_32() -> SearchSpace:
    """The default operators at 32 px in colour, twice as wide."""
    data = _digits_data(width=[64, 96, 128], depth=[3, 4, 5, 6], heads=[2, 3, 4])
    data |= {"image_size": [32, 32], "channels": 3, "patch_size": [2, 4], "head_dim": 32}
    return SearchSpace(data, all_cards())


def colour_224() -> SearchSpace:
    """The default operators at 224 px, wide and shallow."""
    data = _digits_data(width=[192, 240], depth=[2, 3, 4], heads=[3, 4], mlp_ratio=[2, 4])
    data |= {"image_size": [224, 224], "channels": 3, "patch_size": [16], "head_dim": 64}
    return SearchSpace(data, all_cards())


def autoformer_t() -> SearchSpace:
    """Networks of AutoFormer-T's sizes at 224 px, softmax attention only."""
    return SearchSpace(AUTOFORMER_T, all_cards())


def autoformer_patch_8() -> SearchSpace:
    """The same widths on four times as many tokens, wide and shallow."""
    (stage,) = AUTOFORMER_T["stages"]
    data = AUTOFORMER_T | {"patch_size": [8], "stages": [stage | {"depth": [2, 3, 4]}]}
    return SearchSpace(data, all_cards())


def deit_tiny() -> SearchSpace:
    """The packaged space of DeiT-Ti's sizes at 224 px, with all its operators."""
    return packaged("deit_tiny", 224)


def packaged(name: str, image_size: int) -> SearchSpace:
    """A space of ``conf/space`` for colour images of one size."""
    return SearchSpace(_packaged(name, image_size, 3), all_cards())


SPACES: dict[str, Callable[[], SearchSpace]] = {"digits": digits, "autoformer_t": autoformer_t}
