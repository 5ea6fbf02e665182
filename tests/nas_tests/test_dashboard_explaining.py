"""What a model looks at: LeGrad's maps and the fate of patches."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from nas.dashboard.explaining.drawing import SIDE, fates, heat
from nas.dashboard.explaining.legrad import AttentionMaps, relevance
from nas.dashboard.explaining.worker import _fates
from search_spaces.architecture import NONE, Architecture, Block, OpSetting, Stage
from supernet.extract import build_model

SOFTMAX = OpSetting("softmax")


def model_of(*layers: tuple[OpSetting, OpSetting], seed: int = 0):
    blocks = tuple(
        Block(
            attention=attention,
            heads=0 if attention == NONE else 2,
            head_dim=0 if attention == NONE else 8,
            mlp_hidden=32,
            reduction=reduction,
        )
        for attention, reduction in layers
    )
    stage = Stage(width=16, blocks=blocks)
    torch.manual_seed(seed)
    made = Architecture(
        image_size=(16, 16),
        channels=1,
        patch_size=4,
        position=OpSetting("table"),
        stages=(stage,),
    )
    model = build_model(made, 5).eval()
    for parameter in model.parameters():  # far from initialisation, where everything is nearly 0
        torch.nn.init.normal_(parameter, std=0.4)
    return model


@pytest.fixture
def images():
    return torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(1))


LAYERS = [(SOFTMAX, NONE), (OpSetting.of("window", size=2), NONE), (NONE, NONE), (SOFTMAX, NONE)]


def test_attention_with_its_map_is_attention(images):
    model = model_of((SOFTMAX, NONE), (OpSetting.of("window", size=2), NONE))
    with AttentionMaps() as caught:
        found = model(images)
    assert torch.allclose(found, model(images), atol=1e-5)
    assert len(caught.maps) == 2
    assert torch.allclose(caught.maps[0].sum(-1), torch.ones(3, 2, 16), atol=1e-5)


def test_every_image_has_a_map_over_its_patches(images):
    found = relevance(model_of(*LAYERS), images)
    assert found.patches_BP.shape == (3, 16)
    assert found.patches_BP.amax(dim=1) == pytest.approx(torch.ones(3))
    assert (found.patches_BP >= 0).all()
    assert found.how == ("attention map", "tokens", "tokens", "attention map")


def test_one_block_is_the_gradient_of_its_map(images):
    """Section 3.1 written out: positive gradients, mean over heads and queries."""
    model = model_of((SOFTMAX, NONE))
    found = relevance(model, images)
    with AttentionMaps() as caught:
        logits = model(images)
    score = logits.gather(1, logits.argmax(1, keepdim=True)).sum()
    grad = torch.autograd.grad(score, caught.maps[0])[0].relu().mean(dim=(1, 2))
    assert torch.allclose(found.patches_BP, grad / grad.amax(1, keepdim=True), atol=1e-5)


def test_another_classifier_looks_elsewhere(images):
    model = model_of(*LAYERS)
    before = relevance(model, images).patches_BP
    torch.nn.init.normal_(dict(model.named_parameters())["head.weight"])
    assert (relevance(model, images).patches_BP - before).abs().max() > 0.05


@pytest.mark.parametrize(
    "reduction",
    [
        OpSetting.of("tome", keep=0.5),
        OpSetting.of("evit", keep=0.5),
        OpSetting.of("pool2d", stride=2),
    ],
)
def test_the_fate_of_every_patch_is_told(images, reduction):
    found = relevance(model_of((SOFTMAX, reduction), (SOFTMAX, NONE)), images)
    told = _fates(0, found, np.zeros((SIDE, SIDE, 3), dtype=np.uint8))
    assert [row["block"] for row in told] == [1]
    assert told[0]["kept"] + told[0]["merged"] + told[0]["pruned"] == 16
    assert told[0]["merged"] >= 16 - told[0]["tokens"]
    assert json.dumps(told)


def test_kept_merged_and_pruned_are_drawn_apart():
    pixels = np.full((SIDE, SIDE, 3), 100, dtype=np.uint8)
    pixels[: SIDE // 2, : SIDE // 2] = 200
    image, counts = fates(pixels, np.array([[0, 0], [1, -1]]))
    assert counts == {"kept": 1, "merged": 2, "pruned": 1}
    drawn = np.asarray(image)
    quarter = SIDE // 4
    assert drawn[quarter, quarter].tolist() == [167] * 3  # 0.35 · 200 + 0.65 · the mean 150
    assert drawn[quarter, 3 * quarter].tolist() == [132] * 3
    assert drawn[3 * quarter, quarter].tolist() == [100] * 3
    assert drawn[3 * quarter, 3 * quarter + 20].tolist() == [255] * 3


def test_heat_has_the_size_of_the_image_and_is_brightest_where_relevance_is():
    relevance_RC = np.zeros((4, 4))
    relevance_RC[0, 3] = 1.0
    drawn = np.asarray(heat(np.zeros((SIDE, SIDE, 3), dtype=np.uint8), relevance_RC)).sum(axis=2)
    assert drawn.shape == (SIDE, SIDE)
    row, column = np.unravel_index(drawn.argmax(), drawn.shape)
    assert row < SIDE // 4
    assert column >= 3 * SIDE // 4
