"""Every registered operator can be handed on as readable source that computes the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from nas.export.formats import FORMATS
from nas.export.standalone.write import standalone_source
from supernet.extract import VisionTransformer, build_model
from tests.contracts.cases import CLASSES
from tests.contracts.test_onnx import PLACES, network, pairs

OURS = ("nas", "supernet", "search_spaces", "conf")
ALONE = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {OURS!r}:
            raise ImportError("not here: " + name)
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, ".")
import numpy, torch, model
with torch.inference_mode():
    images = torch.from_numpy(numpy.load("images.npy"))
    numpy.save("logits.npy", model.load("model.safetensors")(images).numpy())
assert not set(sys.modules) & set({OURS!r})
"""


def described(model: VisionTransformer) -> dict[str, Any]:
    """What of ``best.json`` the file says."""
    channels = model.architecture.channels
    return {
        "digest": model.architecture.digest(),
        "task": {"classes": [f"class {index}" for index in range(CLASSES)]},
        "transform": {"mean": [0.5] * channels, "std": [0.25] * channels},
    }


def shaken(architecture: Any) -> VisionTransformer:
    """A model none of whose parameters is zero or one."""
    torch.manual_seed(0)
    model = build_model(architecture, CLASSES).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model


def check(architecture: Any, images: torch.Tensor, folder: Path) -> str:
    model = shaken(architecture)
    source = standalone_source(model, described(model))
    (folder / "model.py").write_text(source)
    save_file(model.state_dict(), folder / "model.safetensors")
    logits = FORMATS["torch"].open(folder, 1)(images.numpy())
    with torch.inference_mode():
        np.testing.assert_allclose(logits, model(images).numpy(), rtol=1e-5, atol=1e-5)
    assert max(map(len, source.splitlines())) <= 100
    assert not any(
        f"import {name}" in source or f"from {name}" in source for name in (*OURS, "numpy")
    )
    return source


@pytest.mark.parametrize(
    ("number", "mixer", "reduction"),
    [(number, *pair) for number, pair in enumerate(pairs())],
    ids=[f"{mixer}-{reduction}" for mixer, reduction in pairs()],
)
def test_every_operator_as_source(number, mixer, reduction, images_at, tmp_path) -> None:
    place = PLACES[number % 2]
    check(network(place, mixer, reduction, number), images_at(place), tmp_path)


@pytest.mark.slow
def test_every_case_as_source(case, place, images_at, tmp_path) -> None:
    check(case.architecture(place), images_at(place), tmp_path)


def test_alone_in_a_process_where_the_project_is_not(images_at, tmp_path) -> None:
    """The files, torch, safetensors and nothing else."""
    place = PLACES[1]
    number, (mixer, reduction) = next(
        (number, pair) for number, pair in enumerate(pairs()) if pair[1].op == "tome"
    )
    architecture = network(place, mixer, reduction, number)
    check(architecture, images_at(place), tmp_path)
    np.save(tmp_path / "images.npy", images_at(place).numpy())
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with torch.inference_mode():
        expected = shaken(architecture)(images_at(place)).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), expected, atol=1e-5)


def test_names_of_classes_stay_text(images_at, tmp_path) -> None:
    """They may come from folders that anybody named."""
    hostile = ['"""); raise SystemExit #', "it's {x}", "back\\slash", "ünï", "a\nb"]
    model = shaken(network(PLACES[0], *pairs()[0], 0))
    best = {**described(model), "task": {"classes": hostile}}
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(standalone_source(model, best), "model.py", "exec"), space)
    assert list(space["CLASSES"]) == hostile
