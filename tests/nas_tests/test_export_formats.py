"""Every format of a finished run: written, checked, recorded; nothing of it unpickles."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import nas
from nas.cli import main
from nas.export.checking import ExportMismatchError, Reference, check
from nas.export.format import Call, Format, Images, Material
from nas.export.formats import FORMATS
from nas.export.formats.program import pickles
from search_spaces.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def exported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exports of a copy of the tiny run."""
    import shutil

    folder = Path(shutil.copytree(finished, tmp_path_factory.mktemp("exported") / "tiny"))
    assert main(["export", str(folder), "progress=false"]) == 0
    return folder


@pytest.mark.slow
def test_every_format_that_fits_is_there_and_recorded(exported):
    record = json.loads((exported / "exports" / "exports.json").read_text())
    assert record["formats"].keys() | record["skipped"].keys() == set(FORMATS.names())
    for name, made in record["formats"].items():
        assert all((exported / "exports" / file).stat().st_size for file in made["files"])
        assert made["agreement"] >= 0.98
        assert made["latency_ms"]["median"] > 0
        if FORMATS[name].exact:
            assert made["images_off"] == 0
    card = (exported / "exports" / "README.md").read_text()
    assert all(made["files"][0] in card for made in record["formats"].values())


@pytest.mark.slow
def test_the_files_answer_as_the_loaded_model(exported):
    model = nas.load_model(exported / "best.json")
    images = load_file(exported / "val_images.safetensors")["images"][:8]
    with torch.inference_mode():
        expected = model(images).numpy()
    record = json.loads((exported / "exports" / "exports.json").read_text())
    for name in record["formats"]:
        found = FORMATS[name].open(exported / "exports", 1)(images.numpy())
        assert found.shape == expected.shape
        if FORMATS[name].exact and not FORMATS[name].fixed_batch:
            np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.slow
def test_the_program_holds_no_pickle_and_one_that_does_is_refused(exported, tmp_path):
    path = exported / "exports" / "model.pt2"
    assert pickles(path) == []
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(tmp_path / "model.pt2", "w") as target:
        for name in source.namelist():
            evil = b"PK\x03\x04" if "sample_inputs" in name else source.read(name)
            target.writestr(name, evil)
    with pytest.raises(UserError, match="holds pickles, which may execute code"):
        FORMATS["torch_export"].open(tmp_path, 1)


@pytest.mark.slow
def test_the_example_serves_the_model(exported, tmp_path):
    picture = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 20), dtype=np.uint8)).save(
        picture
    )
    code = (
        (ROOT / "examples" / "serve_onnx.py")
        .read_text()
        .replace(".serve_forever()", ".handle_request()")
    )
    port = "18765"
    server = subprocess.Popen([sys.executable, "-c", code, str(exported / "exports"), port])
    try:
        answer = _posted(f"http://127.0.0.1:{port}", picture.read_bytes())
    finally:
        server.wait(timeout=60)
    with torch.inference_mode():
        share_K = nas.load_model(exported / "best.json")(
            nas.load_transform(exported / "best.json")(picture)
        )[0].softmax(0)
    assert answer["class"] == str(int(share_K.argmax()))
    assert answer["probability"] == pytest.approx(float(share_K.max()), abs=1e-3)


def _posted(url: str, content: bytes) -> dict[str, object]:
    """The answer, once somebody listens."""
    while True:
        try:
            with urllib.request.urlopen(url, content) as response:
                return json.loads(response.read())
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise


class Wrong(Format):
    """Answers something else."""

    name = "wrong"
    summary = "wrong"
    files = ("wrong.bin",)
    runtime = "none"

    def __init__(self, change: Callable[[Images], Images]) -> None:
        self.change = change

    def write(self, material: Material, folder: Path) -> None:
        (folder / "wrong.bin").write_bytes(b"")

    def open(self, folder: Path, threads: int) -> Call:
        return lambda images: self.change(images[:, 0, 0])


def reference(*, chooses: bool = False) -> Reference:
    images = np.random.default_rng(0).standard_normal((200, 1, 1, 4), dtype=np.float32)
    return Reference(
        images_NCHW=images,
        labels_N=images[:, 0, 0].argmax(1),
        logits_NK=images[:, 0, 0],
        batch=8,
        threads=1,
        chooses=chooses,
    )


def one_off(logits: Images) -> Images:
    changed = logits.copy()
    if len(changed) == 200:
        changed[0] += 0.1
    return changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x + 1e-2, "differs from torch by 0.01"),
        (lambda x: x * np.nan, "differs from torch by nan"),
        (lambda x: x[:, :3], "logits of shape"),
        (one_off, "differs from torch by 0.1"),
    ],
)
def test_a_file_that_answers_otherwise_is_refused(change, words, tmp_path):
    (tmp_path / "wrong.bin").write_bytes(b"")
    with pytest.raises(ExportMismatchError, match=words):
        check(Wrong(change), tmp_path, reference())


def test_a_tie_between_tokens_may_fall_otherwise_in_one_image_of_a_hundred(tmp_path):
    (tmp_path / "wrong.bin").write_bytes(b"")
    assert check(Wrong(one_off), tmp_path, reference(chooses=True)).images_off == 1


def test_eight_bits_are_held_to_their_answers(tmp_path):
    (tmp_path / "wrong.bin").write_bytes(b"")
    coarse = Wrong(lambda x: x + 1e-2)
    coarse.exact = False
    made = check(coarse, tmp_path, reference())
    assert (made.agreement, made.accuracy_drop) == (1.0, 0.0)
    coarse.change = lambda x: -x
    with pytest.raises(ExportMismatchError, match=r"of the answers are torch's; allowed is 98%"):
        check(coarse, tmp_path, reference())


def test_an_unknown_format_is_refused(refusal, tmp_path):
    line = refusal("export", "export.formats=[onxx]", f"out_dir={tmp_path}")
    assert "did you mean 'onnx'?" in line


def test_a_file_that_is_no_program_is_told(tmp_path):
    (tmp_path / "model.pt2").write_bytes(b"\x80\x04")
    with pytest.raises(UserError, match=r"no torch\.export program"):
        pickles(tmp_path / "model.pt2")


@pytest.mark.slow
def test_what_one_call_asks_for_is_not_kept_for_the_next(exported, refusal):
    line = refusal("export", str(exported), "export.formats=[timm]")
    assert "export.formats=timm: no plain ViT" in line
    assert "timm" not in (exported / "config.yaml").read_text()
