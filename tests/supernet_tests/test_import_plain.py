"""Weights of timm and Hugging Face: the same function, whatever the order of its units."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from search_spaces.architecture import OpSetting
from search_spaces.errors import UserError
from search_spaces.space import SearchSpace
from supernet.extract import build_model
from supernet.importing.fitting import fitting_space, space_text
from supernet.importing.importance import importance_order, reordered
from supernet.importing.imported import Imported, read_weights
from supernet.importing.initialise import Images, initialise
from supernet.importing.sources import WEIGHTS
from supernet.layers import patch_resize_matrix
from supernet.model import Supernet
from supernet.operators import all_cards

timm = pytest.importorskip("timm")
from timm.models.vision_transformer import VisionTransformer  # noqa: E402

SIDE, CLASSES = 16, 7
HALF = ((0.5,) * 3, (0.5,) * 3)


def timm_model(**changes: Any) -> nn.Module:
    sizes = {"img_size": SIDE, "patch_size": 4, "embed_dim": 32, "depth": 3, "num_heads": 4}
    torch.manual_seed(0)
    model = VisionTransformer(**({**sizes, "num_classes": CLASSES} | changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # fresh biases are zero, fresh heads are alike
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def convert(model: nn.Module) -> Imported:
    weights: Imported = WEIGHTS["timm"].convert(model, "timm:toy")  # type: ignore[attr-defined]
    return weights


def space_of(weights: Imported, side: int = SIDE, channels: int = 3, **changes: Any) -> SearchSpace:
    data = fitting_space(weights)
    assert data is not None
    data |= {"image_size": [side, side], "channels": channels} | changes
    return SearchSpace(data, all_cards())


def images(count: int = 40, channels: int = 3, side: int = SIDE, standard: Any = HALF) -> Images:
    generator = torch.Generator().manual_seed(3)
    return Images(
        torch.randn(count, channels, side, side, generator=generator),
        torch.randint(CLASSES, (count,), generator=generator),
        standard,
    )


def largest(space: SearchSpace) -> Any:
    return space.largest(attention="softmax")


VARIANTS: dict[str, dict[str, Any]] = {
    "class token": {},
    "mean pooling, no class token": {
        "class_token": False,
        "global_pool": "avg",
        "fc_norm": False,
    },
    "a register": {"reg_tokens": 1, "no_embed_class": True},
    "layer scale": {"init_values": 0.3},
    "no biases": {"qkv_bias": False, "proj_bias": False},
    "other sizes": {"mlp_ratio": 3.3, "num_heads": 2},
}


@pytest.mark.parametrize("order", ["none", "importance"])
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
def test_the_largest_member_equals_timms_model(changes, order) -> None:
    model = timm_model(**changes)
    weights = convert(model)
    space = space_of(weights)
    supernet = Supernet(space, CLASSES).eval()

    record = initialise(supernet, weights, images(), ordered=order == "importance")

    x = images(4).images_NCHW
    torch.testing.assert_close(supernet(x, largest(space)), model(x), rtol=0, atol=1e-4)
    assert (record["head"], record["order"], record["random"]) == ("kept", order, [])


@pytest.mark.parametrize("order", ["none", "importance"])
def test_the_largest_member_equals_transformers_model(order, tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        image_size=SIDE,
        patch_size=4,
        num_labels=CLASSES,
        initializer_range=0.2,
    )
    model = transformers.ViTForImageClassification(config).eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    )
    weights = read_weights(f"hf:{tmp_path}")
    space = space_of(weights)
    supernet = Supernet(space, CLASSES).eval()

    initialise(supernet, weights, images(), ordered=order == "importance")

    x = images(4).images_NCHW
    with torch.no_grad():
        wanted = model(pixel_values=x).logits
    torch.testing.assert_close(supernet(x, largest(space)), wanted, rtol=0, atol=1e-4)


def test_a_file_beside_a_name_is_read_without_network(tmp_path) -> None:
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=3).eval()
    save_file(model.state_dict(), tmp_path / "mine.safetensors")

    weights = read_weights(f"timm:vit_tiny_patch16_224@{tmp_path / 'mine.safetensors'}")

    assert (weights.num_classes, weights.mean) == (3, (0.5, 0.5, 0.5))
    twin = build_model(weights.architecture, 3).eval()
    twin.load_state_dict(weights.tensors)
    x = torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(twin(x), model(x), rtol=0, atol=1e-4)


def test_pixels_mean_the_same_whatever_they_are_standardised_by() -> None:
    model = timm_model()
    weights = convert(model)
    weights = replace(weights, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    space = space_of(weights, channels=1)
    supernet = Supernet(space, CLASSES).eval()
    initialise(supernet, weights, images(channels=1, standard=((0.1,), (0.7,))))

    grey = torch.rand(4, 1, SIDE, SIDE)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (weights.mean, weights.std))
    wanted = model((grey.expand(-1, 3, -1, -1) - mean) / std)
    torch.testing.assert_close(
        supernet((grey - 0.1) / 0.7, largest(space)), wanted, rtol=0, atol=1e-4
    )


def test_patches_and_positions_are_resampled_to_the_runs_images() -> None:
    """Images and patches twice the size give the same tokens; a finer grid a finer table."""
    weights = convert(timm_model(pos_embed="learn"))
    space = space_of(weights, side=2 * SIDE, patch_size=[8])
    supernet = Supernet(space, CLASSES).eval()
    initialise(supernet, weights, images(side=2 * SIDE), ordered=False)
    x = images(2).images_NCHW
    # Each patch grown on its own, by the matrix whose pseudo-inverse the kernel was resized by.
    grow = torch.linalg.pinv(patch_resize_matrix(4, 8)).float()
    patches = x.unfold(2, 4, 4).unfold(3, 4, 4).reshape(2, 3, 4, 4, 16) @ grow
    grown = patches.reshape(2, 3, 4, 4, 8, 8).permute(0, 1, 2, 4, 3, 5).reshape(2, 3, 32, 32)

    small = build_model(weights.architecture, CLASSES).eval()
    small.load_state_dict(weights.tensors)
    torch.testing.assert_close(supernet(grown, largest(space)), small(x), rtol=0, atol=1e-3)

    finer = space_of(weights, side=2 * SIDE)
    other = Supernet(finer, CLASSES)
    initialise(other, weights, images(side=2 * SIDE), ordered=False)
    table = other.masters["position/table"].get_parameter("table")
    wanted = torch.nn.functional.interpolate(
        weights.tensors["position.table"].permute(2, 0, 1)[None], size=(8, 8), mode="bicubic"
    )
    torch.testing.assert_close(table, wanted[0].permute(1, 2, 0))


def test_a_head_of_other_classes_starts_at_random() -> None:
    weights = convert(timm_model())
    supernet = Supernet(space_of(weights), 3)
    before = supernet.masters["head"].get_parameter("weight").clone()

    record = initialise(supernet, weights, images())

    assert torch.equal(supernet.masters["head"].get_parameter("weight"), before)
    assert record["head"] == "random"
    assert record["random"] == ["head.bias", "head.weight"]


def test_a_model_without_a_head_brings_all_the_rest() -> None:
    weights = convert(timm_model(num_classes=0))
    supernet = Supernet(space_of(weights), 3)

    record = initialise(supernet, weights, images())

    assert (record["head"], record["random"]) == ("random", ["head.bias", "head.weight"])


def test_units_that_do_nothing_come_last() -> None:
    weights = convert(timm_model())
    tensors = {name: tensor.clone() for name, tensor in weights.tensors.items()}
    at, mlp, dead = "stages.0.blocks.1.attention", "stages.0.blocks.0.mlp", [3, 100, 17]
    tensors[f"{at}.o_weight"][:, 8:16] = 0  # the second of four heads
    tensors[f"{mlp}.fc2_weight"][:, dead] = 0
    model = build_model(weights.architecture, CLASSES)
    model.load_state_dict(tensors)
    given = images()

    order = importance_order(model, [(given.images_NCHW, given.labels_N)])

    assert int(order.heads_H[1][-1]) == 1
    assert sorted(order.hidden_M[0][-3:].tolist()) == sorted(dead)
    model.load_state_dict(reordered(tensors, weights.architecture, order))
    assert not model.get_parameter(f"{mlp}.fc2_weight")[:, -3:].any()


def test_small_members_keep_more_of_the_answer_in_order() -> None:
    """Half the neurons, those that matter: nearer to the whole net than the first half."""
    model = timm_model(depth=2)
    with torch.no_grad():
        for block in model.blocks:
            gain = torch.rand(len(block.mlp.fc1.weight), generator=torch.Generator().manual_seed(1))
            block.mlp.fc2.weight.mul_(3 * gain.pow(4))
    weights = convert(model)
    x, found = images(30).images_NCHW, {}
    for order in ("none", "importance"):
        stage = {**fitting_space(weights)["stages"][0], "mlp_ratio": [2, 4], "width": [32]}
        space = space_of(weights, stages=[stage])
        supernet = Supernet(space, CLASSES).eval()
        initialise(supernet, weights, images(), ordered=order == "importance")
        whole, row = largest(space), space.encode(largest(space))
        for index, gene in enumerate(space.genes):
            row[index] = 0 if gene.name.endswith("mlp_ratio") else row[index]
        with torch.no_grad():
            error = supernet(x, space.decode(row)) - supernet(x, whole)
        found[order] = float(error.square().mean())

    assert found["importance"] < 0.5 * found["none"]


def test_other_attention_types_start_with_its_norms_and_matrices() -> None:
    weights = convert(timm_model())
    stage = {**fitting_space(weights)["stages"][0], "attention": ["softmax", "separable", "hilo"]}
    supernet = Supernet(space_of(weights, stages=[stage]), CLASSES)

    record = initialise(supernet, weights, images(), ordered=False)

    wanted = weights.tensors["stages.0.blocks.2.attention.norm_weight"]
    for op in ("softmax", "separable"):
        group = supernet.masters[f"stages/0/layers/2/attention/{op}"]
        assert torch.equal(group.get_parameter("norm_weight"), wanted)
    assert not any("shared" in name or "norm" in name for name in record["random"])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"reg_tokens": 4}, "5 class and register tokens; a space has at most 2"),
        ({"qk_norm": True}, "it has blocks.0.attn.k_norm"),
        ({"pre_norm": True}, "it has norm_pre.bias"),
        ({"global_pool": "avg"}, "no layer norm in front of its pooling"),
        ({"global_pool": "map"}, "it pools by 'map'"),
        ({"act_layer": nn.ReLU}, r"its activation is ReLU"),
        ({"pos_embed": "none"}, "it has no table of positions"),
    ],
)
def test_what_is_no_plain_vit_is_refused_in_one_line(changes, named) -> None:
    with pytest.raises(UserError, match=named) as refused:
        convert(timm_model(**changes))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("origin", "named"),
    [
        ("timm:vit_smal_patch16_224", "the nearest are .*vit_small_patch16_224"),
        ("timm:vit_small_patch16_224@nowhere.safetensors", "nowhere.safetensors: no such file"),
        ("timm", r"init='timm': allowed is autoformer:..., hf:..., run:..., timm:..."),
        ("tim:vit", "did you mean 'timm'"),
    ],
)
def test_names_that_do_not_exist_name_the_nearest(origin, named) -> None:
    with pytest.raises(UserError, match=named):
        read_weights(origin)


def test_only_names_that_would_be_read_are_suggested() -> None:
    for name in ("vit_tny", "vit_smal_patch16_18x2_224"):
        with pytest.raises(UserError, match="the nearest are") as refused:
            read_weights(f"timm:{name}")
        for near in str(refused.value).partition("the nearest are ")[2].split(", "):
            convert(timm.create_model(near, pretrained=False))


def test_a_folder_of_another_model_is_refused(tmp_path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "swin"}))
    with pytest.raises(UserError, match=r"has no model\.safetensors"):
        read_weights(f"hf:{tmp_path}")
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="its model_type is 'swin'"):
        read_weights(f"hf:{tmp_path}")


def test_a_space_of_another_size_is_refused_and_a_fitting_one_named() -> None:
    weights = convert(timm_model())
    stage = {**fitting_space(weights)["stages"][0], "width": [16, 24], "depth": [1]}
    supernet = Supernet(space_of(weights, stages=[stage]), CLASSES)
    before = copy.deepcopy(supernet.state_dict())

    with pytest.raises(UserError, match=r"width 32, not 24; depth 3, not 1; MLP 128, not 96") as e:
        initialise(supernet, weights, images())

    assert "formfinder weights timm:toy" in str(e.value)
    assert all(torch.equal(t, before[name]) for name, t in supernet.state_dict().items())


def test_the_fitting_space_is_a_space_file(tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    weights = convert(timm_model())
    text = space_text(weights)
    config = OmegaConf.create({"data": {"image_size": SIDE, "channels": 3}})
    config["space"] = OmegaConf.create(text)
    data: Any = OmegaConf.to_container(config, resolve=True)
    space = SearchSpace(data["space"], all_cards())

    assert space.largest().position == OpSetting("table")
    assert largest(space) == weights.architecture
    assert space.cardinality() > 100
