"""``best.json``: what was edited wrongly is refused in one line, by file and field."""

from __future__ import annotations

import copy
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import nas
from nas.cli import main
from nas.run_folder import read_json
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError
from supernet.training.checkpoint import weights_hash

GONE = object()
BLOCK = "architecture.stages.0.blocks.0"


@pytest.fixture(scope="module")
def exported(finished):
    return read_json(finished / "best.json")


@pytest.fixture
def edited(finished, exported, tmp_path):
    """``edited({path: value}, digest=True)``: a copy of the exported files with changes."""
    for suffix in ("json", "safetensors", "onnx"):
        shutil.copy(finished / f"best.{suffix}", tmp_path)

    def edit(changes, *, digest=False):
        data = copy.deepcopy(exported)
        for path, value in changes.items():
            *way, last = (int(part) if part.isdigit() else part for part in path.split("."))
            place = data
            for part in way:
                place = place[part]
            if value is GONE:
                del place[last]
            else:
                place[last] = value
        if digest:  # a careful editor: the digest fits what was edited
            data["digest"] = Architecture.from_dict(data["architecture"]).digest()
        (tmp_path / "best.json").write_text(json.dumps(data))
        return tmp_path / "best.json"

    return edit


def refused_line(path):
    with pytest.raises(UserError) as refused:
        nas.load_model(path)
    line = str(refused.value)
    assert line.startswith(str(path.parent))
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({f"{BLOCK}.mlp.hidden": 5}, ["best.json: digest=", "was edited"]),
        ({"digest": "0" * 16}, ["digest='0000000000000000'", "was edited"]),
        ({"digest": "abc"}, ["digest: 'abc'"]),
        ({"schema_version": 2}, ["schema_version=2", "allowed is 1"]),
        ({"schema_version": GONE}, ["schema_version=None"]),
        ({"schema_version": "1"}, ["schema_version='1'"]),
        ({"architecture.stages.0.width": "16"}, ["architecture.stages[0].width: '16'", "integer"]),
        ({f"{BLOCK}.attention.heads": True}, ["blocks[0].attention.heads: True", "integer"]),
        ({"weights.file": "../best.safetensors"}, ["weights.file: '../best.safetensors'"]),
        ({"weights.file": "/etc/passwd"}, ["weights.file: '/etc/passwd'"]),
        ({"weights.file": ".."}, ["weights.file: '..'"]),
        ({"weights.file": "bets.safetensors"}, ["bets.safetensors: no weights can be read"]),
        ({"weights.hash": "0" * 16}, ["not the weights that best.json names"]),
        ({"onnx.file": "a/b.onnx"}, ["onnx.file: 'a/b.onnx'"]),
        ({"task.classes": ["one"]}, ["task.classes: ['one'] is too short"]),
        ({"task.classes": ["a", "b"]}, ["head.bias is (10,), wanted is (2,)"]),
        ({"wieghts": {}}, ["'wieghts' was unexpected"]),
        ({"metrics": GONE}, ["best.json: lacks 'metrics'"]),
        ({"metrics.test_accuracy": GONE}, ["metrics: lacks 'test_accuracy'"]),
        ({"metrics.latency_ms.value": "fast"}, ["metrics.latency_ms.value: 'fast'", "number"]),
        ({"metrics.latency_ms.value": float("nan")}, ["damaged", "NaN is no number"]),
        ({"metrics.latency_ms.kind": "guessed"}, ["metrics.latency_ms.kind: 'guessed'"]),
        ({"transform": {}}, ["transform: lacks 'image_size', "]),
        ({"transform.std": [0]}, ["transform.std[0]: 0"]),
        ({"transform.image_size": 32}, ["transform: makes images of 32 px", "[16, 16]"]),
    ],
)
def test_an_edit_is_told_by_field_and_value(edited, changes, parts):
    line = refused_line(edited(changes))
    for part in parts:
        assert part in line


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({f"{BLOCK}.attention.op": "sofmax"}, ["'sofmax'", "did you mean 'softmax'?"]),
        ({f"{BLOCK}.reduction.op": "tme"}, ["'tme'", "did you mean 'tome'?"]),
        ({"architecture.position.op": "pge"}, ["'pge'", "did you mean 'peg'?"]),
        ({f"{BLOCK}.attention.sise": 2}, ["stages[0].blocks[0].attention", "'sise'"]),
        (
            {f"{BLOCK}.attention": {"op": "window", "heads": 1, "head_dim": 16}},
            ["stages[0].blocks[0].attention: the parameter size of window is missing"],
        ),
        (
            {f"{BLOCK}.attention": {"op": "window", "heads": 1, "head_dim": 16, "size": "2"}},
            ["window.size='2'", "a whole number"],
        ),
        (
            {f"{BLOCK}.attention": {"op": "none", "heads": 1, "head_dim": 16}},
            ["attention.heads=1", "none has none"],
        ),
        ({f"{BLOCK}.attention": {"op": "softmax"}}, ["attention.heads=0", "1 or more"]),
        ({f"{BLOCK}.reduction": {"op": "tome"}}, ["not legal", "needs either keep or r"]),
        ({"architecture.pooling": "class"}, ["pooling='class'", "special_tokens is 0"]),
        ({"architecture.channels": 3}, ["transform", "1 channels", "with 3"]),
        ({"architecture.image_size": [8, 16]}, ["transform", "[8, 16]"]),
        # Sizes that would fill the memory before anybody noticed.
        ({f"{BLOCK}.mlp.hidden": 10**12}, ["does not fit the architecture", "(1000000000000"]),
        ({"architecture.stages.0.width": 10**9}, ["does not fit the architecture"]),
        ({"architecture.stages.0.blocks": []}, ["architecture.stages[0].blocks: []"]),
    ],
)
def test_an_edit_with_a_fitting_digest_is_told_too(edited, changes, parts):
    line = refused_line(edited(changes, digest=True))
    for part in parts:
        assert part in line


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_json_object_is_told(edited, content):
    path = edited({})
    path.write_bytes(content)
    assert "best.json: " in refused_line(path)


def test_a_file_that_is_not_there_is_told(tmp_path):
    assert "no such file" in refused_line(tmp_path / "best.json")


def test_swapped_weights_are_noticed(edited, tmp_path):
    path = edited({})
    tensors = load_file(tmp_path / "best.safetensors")
    tensors["head.bias"] = tensors["head.bias"] + 1e-6
    save_file(tensors, tmp_path / "best.safetensors")
    assert "not the weights that best.json names" in refused_line(path)


def test_weights_of_other_shapes_are_noticed_even_with_their_hash(edited, tmp_path):
    tensors = {"head.bias": torch.zeros(10)}
    path = edited({"weights.hash": weights_hash(tensors)})
    save_file(tensors, tmp_path / "best.safetensors")
    assert "does not fit the architecture" in refused_line(path)


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x80\x04]"])
def test_weights_that_cannot_be_read_are_told(edited, tmp_path, content):
    path = edited({})
    (tmp_path / "best.safetensors").write_bytes(content)
    assert "best.safetensors: no weights can be read" in refused_line(path)


def test_a_folder_in_place_of_the_weights_is_told(edited, tmp_path):
    path = edited({})
    (tmp_path / "best.safetensors").unlink()
    (tmp_path / "best.safetensors").mkdir()
    assert "best.safetensors: no weights can be read" in refused_line(path)


def test_the_files_may_be_moved_and_renamed(edited, tmp_path):
    path = edited({"weights.file": "mine.safetensors"})
    (tmp_path / "best.safetensors").rename(tmp_path / "mine.safetensors")
    moved = shutil.move(path, tmp_path / "mine.json")
    model = nas.load_model(str(moved))
    assert model(torch.zeros(2, 1, 16, 16)).shape == (2, 10)


def test_a_loaded_model_can_be_trained_on(edited):
    """Its parameters are ordinary leaves, wherever they were read from."""
    model = nas.load_model(edited({})).train()
    model(torch.randn(2, 1, 16, 16)).sum().backward()
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert any(parameter.grad is not None for parameter in model.parameters())
    assert {str(parameter.device) for parameter in model.parameters()} == {"cpu"}


def test_the_transform_of_an_edited_file_is_refused(edited):
    with pytest.raises(UserError, match=r"best\.json: transform\.mean"):
        nas.load_transform(edited({"transform.mean": ["dark"]}))


# -- describe ---------------------------------------------------------------------------------


def test_describe_shows_every_layer_of_a_run_a_file_and_an_architecture(
    finished, exported, tmp_path, capsys
):
    (tmp_path / "a.json").write_text(json.dumps(exported["architecture"]))
    for target in (finished, finished / "best.json", finished / "front.json", tmp_path / "a.json"):
        assert main(["describe", str(target)]) == 0
        output = capsys.readouterr().out
        assert exported["digest"] in output
        assert max(len(line.rstrip()) for line in output.splitlines()) <= 80


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("patch_size", "4", ["patch_size: '4'"]),
        ("patchsize", 4, ["'patchsize' was unexpected"]),
        ("position", {"op": "pge"}, ["did you mean 'peg'?"]),
        ("image_size", [16], ["image_size: [16] is too short"]),
    ],
)
def test_describe_tells_what_is_wrong_with_an_architecture(
    exported, tmp_path, refusal, name, value, parts
):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**exported["architecture"], name: value}))
    line = refusal("describe", str(path))
    for part in parts:
        assert part in line


def test_describe_of_anything_else_is_refused(tmp_path, refusal):
    (tmp_path / "x.json").write_text("{}")
    line = refusal("describe", str(tmp_path / "x.json"))
    assert "x.json: no architecture, best.json or front.json; image_size, " in line
    (tmp_path / "folder").mkdir()
    assert "is it a finished run?" in refusal("describe", str(tmp_path / "folder"))
