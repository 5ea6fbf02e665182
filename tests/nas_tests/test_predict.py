"""``formfinder predict``: classes and probabilities, or one clear line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import nas
from nas.cli import main


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three pictures of sizes and modes of their own."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    made = []
    for name, shape in (("a.png", (16, 16)), ("b [red].png", (40, 30, 3)), ("c.jpg", (9, 21))):
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
        made.append(folder / name)
    return made


def test_json_holds_what_the_loaded_model_says(finished, pictures, capsys):
    assert main(["predict", str(finished / "best.json"), *map(str, pictures), "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    model, transform = (f(finished / "best.json") for f in (nas.load_model, nas.load_transform))
    assert [answer["image"] for answer in answers] == list(map(str, pictures))
    for answer, path in zip(answers, pictures, strict=True):
        with torch.inference_mode():
            share_K = model(transform(path))[0].softmax(0)
        (first,) = answer["classes"]
        assert first["class"] == str(int(share_K.argmax()))
        assert first["probability"] == pytest.approx(float(share_K.max()), abs=1e-5)


def test_a_table_of_eighty_columns_shows_a_folder(finished, pictures, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["predict", str(finished), str(pictures[0].parent), "top=3"]) == 0
    output = capsys.readouterr().out
    assert max(map(len, output.splitlines())) <= 80
    flat = "".join(output.split())
    assert all(path.name.replace(" ", "") in flat for path in pictures)
    assert output.count("0.") == 9


def test_top_of_more_than_there_are_is_all(finished, pictures, capsys):
    assert main(["predict", str(finished), str(pictures[0]), "top=99", "json=true"]) == 0
    classes = json.loads(capsys.readouterr().out)["classes"]
    assert len(classes) == 10
    assert sum(entry["probability"] for entry in classes) == pytest.approx(1, abs=1e-4)


def test_the_others_are_answered_where_one_cannot_be_opened(finished, pictures, tmp_path, capsys):
    for path in pictures[:2]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "0broken.png").write_bytes(pictures[0].read_bytes()[:40])
    assert main(["predict", str(finished), str(tmp_path), "json=true"]) == 2
    said = capsys.readouterr()
    answered = [json.loads(line)["image"] for line in said.out.splitlines()]
    assert sorted(answered) == sorted(str(tmp_path / path.name) for path in pictures[:2])
    assert "1 of 3 pictures cannot be opened" in said.err
    assert "0broken.png" in said.err


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["{best}"], ["best.json and pictures"]),
        (["{best}", "nowhere.png"], ["nowhere.png: no such picture"]),
        (["{best}", "{text}"], ["unreadable image", "notes.png"]),
        (["{best}", "{empty}"], ["no pictures in this folder"]),
        (["{text}", "{picture}"], ["notes.png: damaged"]),
        (["{best}", "{picture}", "top=none"], ["top='none'", "1 or more"]),
        (["{best}", "{picture}", "tpo=3"], ["'tpo'", "did you mean 'top'?"]),
        (["{best}", "{picture}", "--jsn"], ["'--jsn'", "did you mean '--json'?"]),
    ],
)
def test_bad_input_is_one_line(finished, pictures, tmp_path, refusal, words, parts):
    (tmp_path / "notes.png").write_text("no picture")
    (tmp_path / "empty").mkdir()
    places = {
        "best": finished / "best.json",
        "text": tmp_path / "notes.png",
        "empty": tmp_path / "empty",
        "picture": pictures[0],
    }
    line = refusal("predict", *(word.format(**places) for word in words))
    for part in parts:
        assert part in line
