"""A supernet that starts from another one of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from search_spaces.errors import UserError
from search_spaces.space import SearchSpace
from supernet.importing.fitting import space_text
from supernet.importing.imported import read_weights
from supernet.importing.initialise import Images, initialise
from supernet.model import Supernet
from supernet.operators import all_cards
from supernet.training.checkpoint import Checkpoint, save_checkpoint

CLASSES = 5
SPACE: dict[str, Any] = {
    "image_size": [16, 16],
    "channels": 1,
    "head_dim": 8,
    "patch_size": [4],
    "position": ["peg"],
    "stages": [
        {
            "width": [16, 32],
            "depth": [2, 3],
            "heads": [1, 2, 4],
            "mlp_ratio": [1, 2],
            "attention": ["softmax", {"op": "window", "size": [2, 4]}, "separable"],
        }
    ],
}
NOTHING = Images(torch.zeros(0, 1, 16, 16), torch.zeros(0, dtype=torch.int64), ((0.0,), (1.0,)))


def supernet_of(classes: int = CLASSES, **stage: Any) -> Supernet:
    data = {**SPACE, "stages": [{**SPACE["stages"][0], **stage}]}
    return Supernet(SearchSpace(data, all_cards()), classes).eval()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder, as far as its weights go."""
    torch.manual_seed(5)
    supernet = supernet_of()
    tensors = {f"average.{name}": tensor for name, tensor in supernet.state_dict().items()}
    save_checkpoint(tmp_path / "supernet.safetensors", Checkpoint(tensors, {"num_classes": 5}))
    (tmp_path / "space.json").write_text(json.dumps({"space": supernet.space.to_dict()}))
    return tmp_path


def weights_in(run: Path) -> Supernet:
    torch.manual_seed(5)
    return supernet_of()


def test_the_same_space_starts_where_the_other_ended(run) -> None:
    supernet = supernet_of()

    record = initialise(supernet, read_weights(f"run:{run}"), NOTHING)

    wanted = weights_in(run).state_dict()
    assert all(torch.equal(t, wanted[name]) for name, t in supernet.state_dict().items())
    assert (record["random"], record["head"]) == ([], "kept")


def test_members_of_a_smaller_space_answer_as_they_did(run) -> None:
    supernet = supernet_of(width=[16], depth=[2], heads=[1, 2], attention=["softmax", "separable"])

    initialise(supernet, read_weights(f"run:{run / 'supernet.safetensors'}"), NOTHING)

    old, x = weights_in(run), torch.randn(2, 1, 16, 16)
    for attention in ("softmax", "separable"):
        member = supernet.space.largest(attention=attention)
        torch.testing.assert_close(supernet(x, member), old(x, member), rtol=0, atol=1e-6)


def test_a_larger_space_names_three_tensors_and_the_space_that_fits(run) -> None:
    supernet = supernet_of(width=[16, 48])
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    weights = read_weights(f"run:{run}")

    with pytest.raises(UserError) as refused:
        initialise(supernet, weights, NOTHING)

    text = str(refused.value)
    assert "embedding/conv.weight: (32, 1, 4, 4) there, (48, 1, 4, 4) here" in text
    assert text.count(" there, ") == 3
    assert "more (it holds width 32, 3 layers, 4 heads of 8, MLP 64" in text
    assert f"a space that fits: formfinder weights run:{run}" in text
    assert all(torch.equal(t, before[name]) for name, t in supernet.state_dict().items())
    assert "width: [16, 32]" in space_text(weights)


def test_a_type_it_does_not_know_is_named(run) -> None:
    with pytest.raises(UserError, match=r"layers/0/attention/hilo\S*: none there"):
        initialise(
            supernet_of(attention=["softmax", {"op": "hilo", "alpha": 0.5, "window": 2}]),
            read_weights(f"run:{run}"),
            NOTHING,
        )


def test_other_classes_begin_with_a_new_head(run) -> None:
    supernet = supernet_of(classes=9)

    record = initialise(supernet, read_weights(f"run:{run}"), NOTHING)

    assert record["random"] == ["head.bias", "head.weight"]


def test_what_is_not_there_is_said(run, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    for where, named in (
        (tmp_path / "empty", "no trained supernet there"),
        (run / "supernet.safetensor", "did you mean .*supernet.safetensors"),
        (run / "space.json", "damaged or no checkpoint"),
    ):
        with pytest.raises(UserError, match=named):
            read_weights(f"run:{where}")
