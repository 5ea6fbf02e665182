"""AutoFormer's public supernets: every member as the plain forward of its description gives it."""

from __future__ import annotations

import argparse
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search_spaces.architecture import Architecture, Block, OpSetting, Stage
from search_spaces.errors import UserError
from search_spaces.space import SearchSpace
from supernet.importing.fitting import fitting_space
from supernet.importing.imported import read_weights
from supernet.importing.initialise import Images, initialise
from supernet.model import Supernet, extract
from supernet.operators import all_cards
from supernet.workload import workload
from tests.supernet_tests.autoformer_oracle import forward, random_supernet

GRID, PATCH, CLASSES = 4, 4, 6
SIDE = GRID * PATCH
CHOICES = {"width": [96, 136, 160], "depth": [2, 3], "heads": [1, 2, 3], "mlp_ratio": [1.5, 2.0]}
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    # Wider than heads × 64 / 3 heads = 192: inner width and width differ, as in small members.
    return random_supernet(176, 3, 3, 2.0, grid=GRID, patch=PATCH, classes=CLASSES)


@pytest.fixture
def path(tensors, tmp_path: Path) -> Path:
    found = tmp_path / "a_misleading_name_base.pth"
    arguments = argparse.Namespace(model="", epochs=500, gp=True, output_dir="/x", lr=5e-4)
    torch.save({"model": tensors, "args": arguments, "epoch": 499}, found)
    return found


def space_for(weights: Any, **changes: Any) -> SearchSpace:
    data = fitting_space(weights)
    assert data is not None
    data["stages"][0] |= CHOICES
    data |= {"image_size": [SIDE, SIDE], "channels": 3} | changes
    return SearchSpace(data, all_cards())


def images() -> Images:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(3, 3, SIDE, SIDE, generator=generator)
    return Images(pixels, torch.zeros(3, dtype=torch.int64), IMAGENET)


def imported(path: Path) -> Supernet:
    weights = read_weights(f"autoformer:{path}")
    supernet = Supernet(space_for(weights), CLASSES).eval()
    initialise(supernet, weights, images())
    return supernet


@torch.no_grad()
def test_every_member_agrees_with_the_description(path, tensors) -> None:
    supernet, x = imported(path), images().images_NCHW
    rng = np.random.default_rng(0)
    members = [supernet.space.decode(row) for row in supernet.space.sample_genes(rng, 30)]
    members += [supernet.space.largest(), supernet.space.smallest()]
    for member in members:
        stage = member.stages[0]
        ratios = [block.mlp_hidden / stage.width for block in stage.blocks]
        ratios = [min(CHOICES["mlp_ratio"], key=lambda r: abs(r - found)) for found in ratios]

        wanted = forward(
            tensors, x, width=stage.width, heads=[b.heads for b in stage.blocks], ratios=ratios
        )

        torch.testing.assert_close(supernet(x, member), wanted, rtol=0, atol=1e-5)
        torch.testing.assert_close(extract(supernet, member)(x), wanted, rtol=0, atol=1e-5)


def test_sizes_come_from_the_tensors(path) -> None:
    weights = read_weights(f"autoformer:{path}")

    stage = weights.architecture.stages[0]
    assert (stage.width, len(stage.blocks), weights.num_classes) == (176, 3, CLASSES)
    assert {(b.heads, b.head_dim, b.mlp_hidden) for b in stage.blocks} == {(3, 64, 352)}
    assert weights.architecture.position == OpSetting.of("relative2d", reach=14, table=True)
    assert weights.architecture.image_size == (SIDE, SIDE)
    assert (weights.architecture.pooling, weights.architecture.norm_eps) == ("mean", 1e-5)


def test_biases_move_with_the_heads(path, tensors) -> None:
    """A member of one head reads its keys' bias where a member of three reads its queries'."""
    supernet = imported(path)
    bias = tensors["blocks.0.attn.qkv.bias"]
    for heads in (1, 3):
        row = supernet.space.encode(supernet.space.largest())
        row[supernet.space.layout.column["stage0.layer0.heads"]] = heads - 1
        member = extract(supernet, supernet.space.decode(row))
        for turn, name in enumerate("qkv"):
            found = member.get_parameter(f"stages.0.blocks.0.attention.{name}_bias")
            assert torch.equal(found, bias[64 * heads * turn : 64 * heads * (turn + 1)])


PUBLISHED = {
    "tiny": (192, "3.5 3.5 3 3.5 3 3 4 4 3.5 4 3.5 4 3.5", "3 3 3 3 3 3 3 3 3 3 4 3 3", 5868),
    "small": (384, "3 3.5 3 3.5 4 4 4 4 4 4 4 3.5 4", "6 6 5 7 5 5 5 6 6 7 7 6 7", 22891),
    "base": (
        576,
        "3.5 3.5 4 3.5 4 3.5 3.5 3 4 4 3 4 3 3.5",
        "9 9 9 9 9 10 9 9 10 9 10 9 9 10",
        53691,
    ),
}


@pytest.mark.parametrize(
    ("width", "ratios", "heads", "thousands"), PUBLISHED.values(), ids=PUBLISHED
)
def test_published_members_have_their_published_parameters(width, ratios, heads, thousands) -> None:
    blocks = tuple(
        Block(
            attention=OpSetting("softmax"),
            heads=int(head),
            head_dim=64,
            mlp_hidden=int(width * float(ratio)),
        )
        for ratio, head in zip(ratios.split(), heads.split(), strict=True)
    )
    found = Architecture(
        image_size=(224, 224),
        channels=3,
        patch_size=16,
        stages=(Stage(width=width, blocks=blocks),),
        position=OpSetting.of("relative2d", reach=14, table=True),
        special_tokens=1,
        norm_eps=1e-5,
    )

    assert abs(workload(found, 1000).params / 1000 - thousands) < 1


class Hostile:
    """Runs a command where it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (self.command,))


def test_a_hostile_file_is_refused_in_one_line_and_nothing_runs(tensors, tmp_path) -> None:
    proof = tmp_path / "proof"
    arguments = argparse.Namespace(trick=Hostile(f"touch {proof}"))
    path = tmp_path / "hostile.pth"
    torch.save({"model": tensors, "args": arguments}, path)

    with pytest.raises(UserError, match=r"refused: .*system.*nothing was run") as refused:
        read_weights(f"autoformer:{path}")

    assert "\n" not in str(refused.value)
    assert not proof.exists()


def test_files_of_other_kinds_are_refused(tensors, tmp_path) -> None:
    cases: dict[str, Any] = {
        "no_model": ({"weights": 3}, "holds no state dict"),
        "other": ({"a": torch.zeros(2)}, r"has no tensor patch_embed_super\.proj\.weight"),
        "more": ({**tensors, "extra": torch.zeros(2)}, "no AutoFormer supernet: it has extra"),
    }
    for name, (content, named) in cases.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(UserError, match=named):
            read_weights(f"autoformer:{tmp_path / name}")
    (tmp_path / "text").write_text("no weights at all")
    (tmp_path / "pickle").write_bytes(pickle.dumps([1, 2]))
    for name in ("text", "pickle", "nowhere"):
        with pytest.raises(UserError, match=name):
            read_weights(f"autoformer:{tmp_path / name}")


def test_a_space_with_separate_biases_is_refused(path) -> None:
    weights = read_weights(f"autoformer:{path}")
    supernet = Supernet(space_for(weights, joint_qkv_bias=False), CLASSES)

    with pytest.raises(UserError, match="joint_qkv_bias True, not False"):
        initialise(supernet, weights, images())


def test_a_wider_space_is_refused(path) -> None:
    weights = read_weights(f"autoformer:{path}")
    data = space_for(weights).to_dict()
    data["stages"][0]["width"] = [96, 192]
    with pytest.raises(UserError, match="width 176, not 192"):
        initialise(Supernet(SearchSpace(data, all_cards()), CLASSES), weights, images())


def test_the_public_space_is_offered_for_public_sizes() -> None:
    tensors = random_supernet(256, 4, 14, 4.0, grid=2, patch=16, classes=3)
    from supernet.importing.sources.autoformer import _Reader

    weights = _Reader("autoformer:x", tensors).read()
    space = fitting_space(weights)

    assert space is not None
    assert space["stages"][0]["width"] == [192, 216, 240]
    members = SearchSpace(space | {"image_size": [224, 224], "channels": 3}, all_cards())
    assert 1.05e9 < members.cardinality() < 1.15e9  # published: 1.1e9 networks
    sizes = [workload(a, 1000).params for a in (members.smallest(), members.largest())]
    assert [round(params / 1e6, 2) for params in sizes] == [5.37, 10.52]
