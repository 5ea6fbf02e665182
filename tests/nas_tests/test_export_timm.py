"""timm's own VisionTransformer takes the files, and answers as ours does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from nas.export.format import Material
from nas.export.formats import FORMATS
from search_spaces.architecture import Architecture, Block, OpSetting, Stage
from supernet.extract import build_model


def plain(*, special: int = 1, pooling: str = "class") -> Architecture:
    block = Block(attention=OpSetting("softmax"), heads=2, head_dim=16, mlp_hidden=48)
    return Architecture(
        image_size=(16, 24),
        channels=3,
        patch_size=8,
        stages=(Stage(width=32, blocks=(block, block)),),
        position=OpSetting("table"),
        special_tokens=special,
        pooling=pooling,
    )


def material(architecture: Architecture) -> Material:
    torch.manual_seed(0)
    model = build_model(architecture, 4).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    best = {
        "task": {"classes": list("abcd")},
        "transform": {"mean": [0.1, 0.2, 0.3], "std": [1.0, 1.0, 1.0]},
    }
    images = np.random.default_rng(0).standard_normal((3, 3, 16, 24), dtype=np.float32)
    return Material(model=model, best=best, example_BCHW=images, calibration=(), threads=1)


@pytest.mark.parametrize(("special", "pooling"), [(1, "class"), (1, "mean"), (0, "mean")])
def test_the_same_logits(special: int, pooling: str, tmp_path) -> None:
    given = material(plain(special=special, pooling=pooling))
    FORMATS["timm"].write(given, tmp_path)
    found = FORMATS["timm"].open(tmp_path, 1)(given.example_BCHW)
    with torch.inference_mode():
        expected = given.model(torch.from_numpy(given.example_BCHW)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_another_network_is_refused_with_its_reasons() -> None:
    plain_one = plain()
    assert FORMATS["timm"].refuses(plain_one) is None
    odd = replace(plain_one, position=OpSetting("peg"), special_tokens=2)
    reason = FORMATS["timm"].refuses(odd)
    assert reason == "no plain ViT: positions from peg, 2 special tokens"
