"""Published networks as values: their parameters, their MACs, their outputs."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

from nas.starting import known_good
from search_spaces.architecture import NONE, Architecture, Block, OpSetting, Stage
from search_spaces.errors import UserError
from search_spaces.presets import PRESETS, preset
from search_spaces.space import SearchSpace
from supernet.extract import VisionTransformer, build_model
from supernet.operators import all_cards
from supernet.workload import workload
from tests.search_spaces_tests.spaces import default_space


def deit(
    width: int,
    *,
    depth: int = 12,
    image: int = 224,
    reductions: Mapping[int, OpSetting] | None = None,
) -> Architecture:
    """DeiT of a width: heads of 64, MLP ratio 4, class token, position table, patch 16."""
    blocks = tuple(
        Block(
            attention=OpSetting("softmax"),
            heads=width // 64,
            head_dim=64,
            mlp_hidden=4 * width,
            reduction=(reductions or {}).get(layer, NONE),
        )
        for layer in range(depth)
    )
    return Architecture(
        image_size=(image, image),
        channels=3,
        patch_size=16,
        stages=(Stage(width=width, blocks=blocks),),
        position=OpSetting("table"),
        special_tokens=1,
        pooling="class",
    )


@pytest.mark.parametrize(("name", "width"), list(zip(PRESETS, (192, 384, 768), strict=True)))
def test_a_preset_is_the_published_model_and_a_search_can_begin_with_it(
    name: str, width: int
) -> None:
    assert preset(name) == deit(width)
    stage = {
        "width": [width],
        "depth": [6, 12],
        "heads": [width // 64],
        "mlp_ratio": [2, 4],
        "attention": ["softmax", "none"],
    }
    space = SearchSpace(
        {
            "image_size": [32, 32],
            "channels": 1,
            "head_dim": 64,
            "patch_size": [16],
            "position": ["table"],
            "special_tokens": 1,
            "pooling": "class",
            "stages": [stage],
        },
        all_cards(),
    )
    assert known_good(space, [name]).architectures == (preset(name, (32, 32), 1),)
    with pytest.raises(UserError, match=f"{name} is not in the space.*nothing is left"):
        known_good(default_space(), [name])


@pytest.mark.parametrize(
    ("width", "params", "gmacs"),
    [(192, 5_717_416, 1.254), (384, 22_050_664, 4.599), (768, 86_567_656, 17.564)],
    ids=["tiny", "small", "base"],
)
def test_deit(width: int, params: int, gmacs: float) -> None:
    work = workload(deit(width), 1000)

    assert work.params == params
    assert work.macs / 1e9 == pytest.approx(gmacs, abs=5e-4)


def test_deit_tiny_can_be_built() -> None:
    model = build_model(deit(192), 1000)

    assert sum(p.numel() for p in model.parameters()) == 5_717_416


@pytest.mark.parametrize(("keep", "gmacs"), [(0.9, 4.022), (0.7, 3.029), (0.5, 2.309)])
def test_evit_on_deit_small(keep: float, gmacs: float) -> None:
    """EViT's counts, without the LayerNorm they include (1 %)."""
    setting = OpSetting.of("evit", keep=keep)

    work = workload(deit(384, reductions=dict.fromkeys((3, 6, 9), setting)), 1000)

    assert work.macs / 1e9 == pytest.approx(gmacs, rel=0.01)


def test_evit_token_trace() -> None:
    setting = OpSetting.of("evit", keep=0.7)
    work = workload(deit(384, reductions=dict.fromkeys((3, 6, 9), setting)), 1000)

    trace = [layer.tokens_out for layer in work.layers if layer.op.startswith("evit")]

    assert [work.layers[0].tokens_out, *trace] == [197, 140, 100, 72]


def test_tome_on_deit_small() -> None:
    """13 merges in every layer: 2.703 GMACs (ToMe)."""
    setting = OpSetting.of("tome", r=13)

    work = workload(deit(384, reductions=dict.fromkeys(range(12), setting)), 1000)

    assert work.macs / 1e9 == pytest.approx(2.703, rel=0.01)


def test_a_deit_equals_that_of_timm_with_the_same_weights() -> None:
    from timm.models.vision_transformer import VisionTransformer as TimmTransformer

    torch.manual_seed(0)
    theirs = TimmTransformer(
        img_size=32, patch_size=16, embed_dim=128, depth=2, num_heads=2, num_classes=7
    ).eval()
    ours = build_model(deit(128, depth=2, image=32), 7).eval()
    _copy(theirs, ours)
    images = torch.randn(3, 3, 32, 32)

    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=0, atol=1e-5)


def _copy(theirs: torch.nn.Module, ours: VisionTransformer) -> None:
    """Bring a timm transformer's weights, made random, to our names."""
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(0.2 * torch.randn_like(parameter))
    state = theirs.state_dict()
    position_ND = state["pos_embed"][0]
    renamed = {
        "embedding.weight": state["patch_embed.proj.weight"],
        "embedding.bias": state["patch_embed.proj.bias"],
        "tokens.special": state["cls_token"][0],
        "position.special": position_ND[:1],
        "position.table": position_ND[1:].unflatten(0, (2, 2)),
        "norm.norm_weight": state["norm.weight"],
        "norm.norm_bias": state["norm.bias"],
        "head.weight": state["head.weight"],
        "head.bias": state["head.bias"],
    }
    for layer in range(2):
        here, there = f"stages.0.blocks.{layer}", f"blocks.{layer}"
        for kind in ("weight", "bias"):
            q, k, v = state[f"{there}.attn.qkv.{kind}"].chunk(3)
            renamed |= {
                f"{here}.attention.norm_{kind}": state[f"{there}.norm1.{kind}"],
                f"{here}.attention.q_{kind}": q,
                f"{here}.attention.k_{kind}": k,
                f"{here}.attention.v_{kind}": v,
                f"{here}.attention.o_{kind}": state[f"{there}.attn.proj.{kind}"],
                f"{here}.mlp.norm_{kind}": state[f"{there}.norm2.{kind}"],
                f"{here}.mlp.fc1_{kind}": state[f"{there}.mlp.fc1.{kind}"],
                f"{here}.mlp.fc2_{kind}": state[f"{there}.mlp.fc2.{kind}"],
            }
    ours.load_state_dict(renamed)
