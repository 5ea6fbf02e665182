"""Checkpoints: whole or not there, refused in one line, hashed to the last bit."""

from __future__ import annotations

import os
import resource
import signal
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import load_file, save_file

from search_spaces.errors import UserError
from supernet.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    save_tensors,
    weights_hash,
)

TENSORS = {"model.a": torch.arange(6.0).view(2, 3), "average.a": torch.ones(2, 3)}
STORED = Checkpoint(TENSORS, {"epoch": 3, "space": "x"})


@contextmanager
def no_more_than(size):
    """Files cannot grow beyond ``size`` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / "new" / "folder" / "s.safetensors"
    save_checkpoint(path, STORED)
    loaded = load_checkpoint(path)
    assert loaded.data == STORED.data
    assert loaded.tensors.keys() == TENSORS.keys()
    assert all(torch.equal(loaded.tensors[name], TENSORS[name]) for name in TENSORS)
    assert list(loaded.section("model")) == ["a"]
    assert os.listdir(path.parent) == [path.name]


def test_others_may_read_it(tmp_path):
    path = tmp_path / "s.safetensors"
    save_checkpoint(path, STORED)
    assert path.stat().st_mode & 0o444 == 0o444


def test_views_are_saved_as_what_they_show(tmp_path):
    base = torch.arange(12.0).view(3, 4)
    save_tensors(tmp_path / "s.safetensors", {"t": base.T, "part": base[:, 1]})
    loaded = load_file(tmp_path / "s.safetensors")
    assert torch.equal(loaded["t"], base.T)
    assert torch.equal(loaded["part"], base[:, 1])


def test_a_full_disk_leaves_the_one_before_whole(tmp_path):
    path = tmp_path / "s.safetensors"
    save_checkpoint(path, STORED)
    before = path.read_bytes()
    large = Checkpoint({"model.a": torch.zeros(10_000)}, {})
    with no_more_than(1000), pytest.raises(UserError, match=r"s\.safetensors: cannot be written"):
        save_checkpoint(path, large)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_what_a_killed_process_left_is_overwritten(tmp_path):
    path = tmp_path / "s.safetensors"
    (tmp_path / "s.tmp").write_bytes(b"half a checkpoi")
    save_checkpoint(path, STORED)
    assert os.listdir(tmp_path) == [path.name]


def damaged(path):
    save_checkpoint(path, STORED)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def foreign(path):
    save_file(dict(TENSORS), path)


def pickled(path):
    torch.save(dict(TENSORS), path)


def text(path):
    path.write_text("not weights")


def empty(path):
    path.write_bytes(b"")


def without_data(path):
    save_file(dict(TENSORS), path, metadata={"format": "formfinder-supernet-1"})


def data_that_is_no_json(path):
    save_file(dict(TENSORS), path, metadata={"format": "formfinder-supernet-1", "data": "{"})


@pytest.mark.parametrize(
    "spoil", [damaged, foreign, pickled, text, empty, without_data, data_that_is_no_json]
)
def test_a_file_that_is_no_checkpoint_is_refused_by_name(tmp_path, spoil):
    path = tmp_path / "s.safetensors"
    spoil(path)
    with pytest.raises(UserError) as refused:
        load_checkpoint(path)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"s\.safetensors: no such checkpoint"):
        load_checkpoint(tmp_path / "s.safetensors")


# -- the hash ---------------------------------------------------------------------------------


def next_float(tensor):
    changed = tensor.clone()
    changed.view(-1)[0] = torch.nextafter(changed.view(-1)[0], torch.tensor(torch.inf))
    return changed


def test_the_hash_does_not_depend_on_order_device_layout_or_gradients():
    tensors = {"a": torch.randn(3, 4), "b": torch.randn(2)}
    same = {
        "b": tensors["b"].clone().requires_grad_(),
        "a": tensors["a"].T.contiguous().T,
    }
    assert weights_hash(tensors) == weights_hash(same)
    assert len(weights_hash(tensors)) == 16


@pytest.mark.parametrize(
    "change",
    [
        lambda t: {**t, "a": next_float(t["a"])},
        lambda t: {**t, "a": t["a"].view(4, 3)},
        lambda t: {**t, "a": t["a"].double()},
        lambda t: {**t, "a": -t["a"]},
        lambda t: {"a": t["a"], "c": t["b"]},
        lambda t: {"a": t["a"]},
        lambda t: {**t, "c": torch.zeros(0)},
        lambda t: {**t, "c": torch.tensor(0.0)},
    ],
    ids=["last bit", "shape", "kind", "sign", "name", "one less", "an empty one", "a number"],
)
def test_the_hash_changes_with_anything(change):
    tensors = {"a": torch.arange(12.0).view(3, 4), "b": torch.ones(2)}
    assert weights_hash(change(tensors)) != weights_hash(tensors)


def test_the_hash_is_known_for_good():
    """Stored accuracies belong to it; should this fail, they are lost."""
    assert weights_hash({"a": torch.arange(4.0), "b": torch.zeros(1, 2)}) == "9ce1fe3626c0f53d"
