"""`init=`: a run whose supernet starts from others' weights, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from nas.cli import main
from nas.config import load_config
from nas.run import Run
from nas.run_folder import RunFolder, read_json
from supernet.extract import build_model
from supernet.importing.imported import read_weights
from supernet.training.checkpoint import load_checkpoint
from tests.nas_tests.tiny_run import contents

WIDTH, DEPTH, HIDDEN, CLASSES = 16, 2, 32, 10


@pytest.fixture(scope="module")
def vit(tmp_path_factory) -> Path:
    """A small ViT in Hugging Face's format, with random weights."""
    folder = tmp_path_factory.mktemp("vit")
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return 0.3 * torch.randn(*shape, generator=generator)

    tensors = {
        "vit.embeddings.cls_token": draw(1, 1, WIDTH),
        "vit.embeddings.position_embeddings": draw(1, 17, WIDTH),
        "vit.embeddings.patch_embeddings.projection.weight": draw(WIDTH, 3, 4, 4),
        "vit.embeddings.patch_embeddings.projection.bias": draw(WIDTH),
    }
    shapes = {
        **{f"attention.attention.{name}": (WIDTH, WIDTH) for name in ("query", "key", "value")},
        "attention.output.dense": (WIDTH, WIDTH),
        "intermediate.dense": (HIDDEN, WIDTH),
        "output.dense": (WIDTH, HIDDEN),
        "layernorm_before": (WIDTH,),
        "layernorm_after": (WIDTH,),
    }
    for layer in range(DEPTH):
        for name, shape in shapes.items():
            tensors[f"vit.encoder.layer.{layer}.{name}.weight"] = draw(*shape)
            tensors[f"vit.encoder.layer.{layer}.{name}.bias"] = draw(shape[0])
    for name, rows in (("vit.layernorm", ()), ("classifier", (CLASSES,))):
        tensors[f"{name}.weight"] = draw(*rows, WIDTH)
        tensors[f"{name}.bias"] = draw(*(rows or (WIDTH,)))
    save_file(tensors, folder / "model.safetensors")
    config = {"model_type": "vit", "num_attention_heads": 2, "layer_norm_eps": 1e-6}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def space(vit, tmp_path_factory) -> Path:
    """The folder of a space file, as the command prints it."""
    folder = tmp_path_factory.mktemp("conf")
    (folder / "space").mkdir()
    return folder


def printed(capsys, *words: str) -> str:
    assert main(["weights", *words]) == 0
    return capsys.readouterr().out


def train(folder: Path, space: Path, *more: str) -> int:
    place = [f"out_dir={folder.parent}", f"name={folder.name}", "progress=false"]
    return main(["train", "--config-dir", str(space), "space=fits", *place, *more])


def test_a_run_starts_from_a_vit_and_another_from_that_run(vit, space, tmp_path, capsys) -> None:
    (space / "space" / "fits.yaml").write_text(printed(capsys, f"hf:{vit}"))
    first = tmp_path / "first"

    assert train(first, space, f"init=hf:{vit}", "training.epochs=0") == 0

    said = capsys.readouterr().out
    assert "starts from hf:" in " ".join(said.split())
    record = read_json(first / "init.json")
    assert (record["order"], record["head"], record["random"]) == ("importance", "kept", [])
    run = Run(load_config(first / "config.yaml"), write=False)
    member = run.space.largest()
    images = torch.from_numpy(np.random.default_rng(0).random((4, 1, 16, 16), np.float32))
    mean, std = run.dataset.transform.mean[0], run.dataset.transform.std[0]
    weights = read_weights(f"hf:{vit}")
    model = build_model(weights.architecture, CLASSES)
    model.load_state_dict(weights.tensors)
    # The file does not say how its images were standardised, so as the run's are.
    given = (images - mean) / std
    wanted = model(given.expand(-1, 3, -1, -1))
    found = run.trained_supernet()(given, member)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)

    second = tmp_path / "second"
    assert train(second, space, f"init=run:{first}", "training.epochs=1") == 0
    assert load_checkpoint(second / "supernet.safetensors").data["epoch"] == 1
    assert read_json(second / "init.json")["order"] == "none"
    assert train(second, space, f"init=run:{first}", "training.epochs=1") == 0  # only reads


def test_what_was_started_from_is_the_runs_identity(vit, space, tmp_path, capsys) -> None:
    (space / "space" / "fits.yaml").write_text(printed(capsys, f"hf:{vit}"))
    folder = tmp_path / "run"
    assert train(folder, space, f"init=hf:{vit}", "training.epochs=0") == 0

    assert train(folder, space, f"init=hf:{vit}", "training.epochs=0", "init_order=none") == 2

    assert "init_order: importance → none" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["init=hf:{vit}"], "does not fit the space: width 16, not 64"),
        (["init=hf:{vit}/nowhere"], "no such folder"),
        (
            ["init=autoformer:{vit}/model.safetensors"],
            "it has no tensor patch_embed_super.proj.weight",
        ),
        (["init=run:{vit}"], "no trained supernet there"),
        (["init=tim:x"], "did you mean 'timm'"),
        (["init=hf:{vit}", "init_order=size"], "allowed is importance | none"),
        (["training.epochs=0"], "or 0 where init=... brings weights"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    words, named, vit, tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    place = [f"out_dir={tmp_path}", "name=refused", "progress=false"]

    assert main(["train", *place, *(word.format(vit=vit) for word in words)]) == 2

    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert named in error
    assert contents(tmp_path) == {}


def test_a_space_file_is_yaml_with_the_sizes_of_the_weights(vit, capsys) -> None:
    text = printed(capsys, f"hf:{vit}")

    space = yaml.safe_load(text)
    assert (space["position"], space["special_tokens"], space["pooling"]) == (["table"], 1, "class")
    assert max(space["stages"][0]["width"]) == WIDTH
    assert space["norm_eps"] == 1e-6
    assert RunFolder(vit).init == vit / "init.json"
