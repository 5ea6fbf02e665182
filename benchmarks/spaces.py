"""The spaces that benchmarks run on."""

from __future__ import annotations

from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from search_spaces.space import SearchSpace
from supernet.operators import all_cards

AUTOFORMER_T = {
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


def digits() -> SearchSpace:
    """The default space."""
    from nas.cli_compose import register_groups

    register_groups()
    with initialize_config_module("conf", version_base="1.3"):
        config = OmegaConf.to_container(compose("config"), resolve=True)
    return SearchSpace(config["space"], all_cards())  # type: ignore[index, call-overload]


def autoformer_t() -> SearchSpace:
    """AutoFormer-T's sizes at 224 px, softmax attention, a position table."""
    return SearchSpace(AUTOFORMER_T, all_cards())


SPACES = {"digits": digits, "autoformer_t": autoformer_t}
