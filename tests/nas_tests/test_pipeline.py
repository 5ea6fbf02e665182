"""The real pipeline at a tiny budget: every file, every resumption, nothing done twice."""

from __future__ import annotations

import csv
import json

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits

import nas
from nas.cli import main
from nas.data.dataset import Dataset
from nas.front import Front
from nas.run_folder import RunFolder, read_json
from supernet.training.checkpoint import load_checkpoint, weights_hash
from supernet.workload import workload
from tests.nas_tests.tiny_run import command, contents, lines, results, trials

KEY = "cpu_onnxruntime_fp32_threads1_batch8_1x16x16"


@pytest.fixture(scope="module")
def best(finished):
    return read_json(finished / "best.json")


@pytest.fixture(scope="module")
def front(finished):
    return Front.load(finished / "front.json")


@pytest.fixture(scope="module")
def val(finished):
    return load_file(finished / "val_images.safetensors")


# -- what is there ----------------------------------------------------------------------------


def test_the_folder_holds_everything_a_run_knows(finished):
    assert set(contents(finished)) == {
        "best.json",
        "best.onnx",
        "best.safetensors",
        "config.yaml",
        "evaluations.jsonl",
        "front.csv",
        "front.json",
        f"profiles/{KEY}.front.jsonl",
        f"profiles/{KEY}.hardware.json",
        f"profiles/{KEY}.jsonl",
        f"profiles/{KEY}.predictor.json",
        "profiles/memory.json",
        "report.html",
        "search.csv",
        "seconds.json",
        "space.json",
        "splits.json",
        "study.journal",
        "supernet.safetensors",
        "training.jsonl",
        "val_images.safetensors",
    }


def test_everything_is_data_and_nothing_executes_on_load(finished):
    for name, content in contents(finished).items():
        if name.endswith(".json"):
            json.loads(content)
        elif name.endswith((".jsonl", ".journal")):
            assert [json.loads(line) for line in content.splitlines()]
        elif name.endswith(".yaml"):
            yaml.safe_load(content)
        elif name.endswith(".safetensors"):
            load_file(finished / name)
        elif name.endswith(".csv"):
            header, *rows = csv.reader(content.decode().splitlines())
            assert [len(row) for row in rows] == [len(header)] * len(rows)
        else:
            assert name in ("report.html", "best.onnx")
        # A pickle begins with a protocol mark, torch's own format is a zip file.
        assert not content.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK"))


def test_all_files_may_be_read_by_others(finished):
    closed = [p for p in finished.rglob("*") if p.is_file() and p.stat().st_mode & 0o444 != 0o444]
    assert closed == []


def test_every_step_says_how_long_it_took(finished):
    assert list(read_json(finished / "seconds.json")) == [
        "train",
        "profile",
        "search",
        "verify",
        "export",
    ]


def test_every_epoch_is_logged(finished):
    log = lines(finished / "training.jsonl")
    assert [line["epoch"] for line in log] == [1, 2]
    assert all(line["teacher_loss"] > 0 and line["images_per_s"] > 0 for line in log)


def test_the_space_is_stored_for_readers_without_operators(finished):
    stored = read_json(finished / "space.json")
    assert stored["cardinality"] > 100
    assert "stage0.layer1.attention" in {gene["name"] for gene in stored["genes"]}


# -- the model --------------------------------------------------------------------------------


def test_the_reloaded_model_answers_like_the_onnx_file(finished, val):
    model = nas.load_model(finished / "best.json")
    assert not model.training
    session = onnxruntime.InferenceSession(finished / "best.onnx")
    name = session.get_inputs()[0].name
    for images in (val["images"][:1], val["images"][1:4], val["images"][4:12]):
        with torch.inference_mode():
            expected = model(images).numpy()
        found = session.run(None, {name: images.numpy()})[0]
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_reloaded_model_has_the_accuracy_that_is_stored(finished, best, val):
    model = nas.load_model(finished / "best.json")
    with torch.inference_mode():
        right = model(val["images"]).argmax(1) == val["labels"]
    assert float(right.double().mean()) == best["metrics"]["val_accuracy"]["value"]
    assert best["metrics"]["val_accuracy"]["n"] == len(val["labels"])


def test_the_reloaded_transform_repeats_what_was_trained_on(finished, val):
    transform = nas.load_transform(finished / "best.json")
    splits = read_json(finished / "splits.json")
    first = int(splits["val"][0])
    pixels = np.rint(load_digits().images[first] * (255 / 16)).astype(np.uint8)
    image = transform(Image.fromarray(pixels))
    assert image.shape == (1, 1, 16, 16)
    torch.testing.assert_close(image[0], val["images"][0])


def test_the_exported_file_says_what_it_is(finished, best, front):
    supernet = load_checkpoint(finished / "supernet.safetensors").section("average")
    assert best["schema_version"] == 1
    assert best["digest"] == front.winner
    assert best["supernet"]["weights"] == weights_hash(supernet) == front.weights
    assert best["weights"]["hash"] == weights_hash(load_file(finished / "best.safetensors"))
    assert best["task"]["classes"] == [str(digit) for digit in range(10)]
    assert best["profile"]["key"] == KEY
    member = front.member(front.winner)
    work = workload(member.architecture, 10)
    assert best["metrics"]["params"]["value"] == work.params
    assert best["metrics"]["macs"]["value"] == work.macs
    for name, metric in best["metrics"].items():
        told = {"energy_mj": "estimated", "params": "counted", "macs": "counted"}
        assert metric["kind"] == told.get(name, "measured"), name
        assert metric["source"]
    test = best["metrics"]["test_accuracy"]
    assert test["source"]["split"] == "test"
    assert test["low"] <= test["value"] <= test["high"]


def test_its_parameters_are_those_of_the_model(finished, best):
    model = nas.load_model(finished / "best.json")
    assert sum(p.numel() for p in model.parameters()) == best["metrics"]["params"]["value"]


# -- the front --------------------------------------------------------------------------------


def test_every_number_of_the_front_says_where_it_comes_from(front):
    assert front.members
    for member in front.members:
        accuracy, latency = member.metrics["accuracy"], member.metrics["latency_ms"]
        memory = member.metrics["peak_memory_mb"]
        assert accuracy.kind == latency.kind == memory.kind == "measured"
        assert accuracy.low <= accuracy.value <= accuracy.high
        assert accuracy.n == front.data["val_images"]
        assert {"split", "data", "date", "code_version"} <= set(accuracy.source)
        assert accuracy.source["split"] == "val"
        assert latency.low <= latency.value <= latency.high
        assert latency.n > 0
        assert latency.predicted["low"] <= latency.predicted["value"] <= latency.predicted["high"]
        assert latency.source["profile"] == KEY
        assert memory.source["runtime"] == "torch_eager"
        assert memory.predicted["value"] > 0
        assert member.metrics["params"].kind == "counted"
        work = workload(member.architecture, 10)
        assert [layer.op for layer in member.layers] == [layer.op for layer in work.layers]
        assert sum(layer.params for layer in member.layers) == work.params


def test_the_most_accurate_member_is_tied_with_itself_and_not_dominated(front):
    top = max(front.standing(), key=lambda member: member.value("accuracy"))
    assert top.tied
    assert not top.dominated
    assert [m.value("accuracy") for m in front.members] == sorted(
        (m.value("accuracy") for m in front.members), reverse=True
    )


def test_no_standing_member_is_better_in_everything(front):
    names = [objective["name"] for objective in front.objectives]
    signs = {"accuracy": -1.0}
    rows = np.array([[signs.get(n, 1.0) * m.value(n) for n in names] for m in front.standing()])
    for row in rows:
        assert not ((rows <= row).all(axis=1) & (rows < row).any(axis=1)).any()


def test_the_front_survives_its_file(front, tmp_path):
    front.save(tmp_path / "front.json")
    assert Front.load(tmp_path / "front.json") == front


def test_inherited_accuracies_are_those_of_the_extracted_models(finished, front):
    stored = {row["architecture"]: row["value"] for row in lines(finished / "evaluations.jsonl")}
    for member in front.members:
        assert stored[member.digest] == member.value("accuracy")


def test_nothing_was_evaluated_twice(finished):
    rows = lines(finished / "evaluations.jsonl")
    keys = [(r["weights"], r["architecture"], r["metric"], r["split"]) for r in rows]
    assert len(keys) == len(set(keys))
    assert sum(row["split"].startswith("test:") for row in rows) == 1
    assert trials(finished) == 16


# -- again ------------------------------------------------------------------------------------


def test_the_same_command_does_nothing_again(finished, copy_of, monkeypatch, capsys):
    folder = copy_of(finished)
    before = results(folder)

    def opened(self, model):
        raise AssertionError("the test split was opened again")

    monkeypatch.setattr(Dataset, "open_test", opened)
    assert main(["run", str(folder)]) == 0
    after = results(folder)
    assert {name for name in after if after[name] != before.get(name)} == {"config.yaml"}
    assert yaml.safe_load(after["config.yaml"])["name"] == "tiny"
    assert "was exported before" in capsys.readouterr().out


def test_the_very_same_words_leave_every_result_as_it_is(finished, capsys):
    before, stamps = results(finished), {p: p.stat().st_mtime_ns for p in finished.rglob("*")}
    assert main(command(finished)) == 0
    assert results(finished) == before
    kept = ("supernet.safetensors", "study.journal", "evaluations.jsonl", "best.json", "best.onnx")
    assert all((finished / name).stat().st_mtime_ns == stamps[finished / name] for name in kept)
    assert "python -c" in capsys.readouterr().out  # the result is printed all the same


def test_a_larger_budget_continues(finished, copy_of):
    folder = copy_of(finished)
    before = results(folder)
    assert main(["run", str(folder), "search.trials=24"]) == 0
    after = results(folder)
    assert trials(folder) == 24
    assert after["study.journal"].startswith(before["study.journal"])
    assert after["evaluations.jsonl"].startswith(before["evaluations.jsonl"])
    assert after["supernet.safetensors"] == before["supernet.safetensors"]
    for name in (f"profiles/{KEY}.jsonl", f"profiles/{KEY}.predictor.json"):
        assert after[name] == before[name]


def test_a_search_keeps_the_predictor_it_began_with(finished, copy_of, capsys):
    """More measurements would change every latency that its trials were ranked by."""
    folder = copy_of(finished)
    before = results(folder)
    assert main(["run", str(folder), "profile.n_runtime=12"]) == 0
    assert "another name" in capsys.readouterr().out
    after = results(folder)
    assert {name for name in after if after[name] != before[name]} == {"config.yaml"}


def test_a_changed_identity_is_refused_by_its_key(finished, refusal):
    before = contents(finished)
    line = refusal(*command(finished, "training.lr=0.1", "seed=1"))
    assert "training.lr: " in line
    assert "→ 0.1" in line
    assert "seed: 0 → 1" in line
    assert "another name" in line
    assert contents(finished) == before


def test_a_step_that_was_lost_is_done_again(finished, copy_of):
    """As after a kill between two steps: what is missing is made, what is there is kept."""
    folder = copy_of(finished)
    before = results(folder)
    for name in ("front.json", "best.json", "best.onnx", "report.html", "val_images.safetensors"):
        (folder / name).unlink()
    assert main(["run", str(folder)]) == 0
    after = results(folder)
    assert set(after) == set(before)
    for name in ("study.journal", "evaluations.jsonl", "val_images.safetensors"):
        assert after[name] == before[name], name
    assert (folder / "report.html").exists()


def test_export_can_fine_tune_and_keeps_what_is_better(finished, copy_of):
    folder = copy_of(finished)
    before = read_json(folder / "best.json")
    assert main(["export", str(folder), "finetune.epochs=1", "export.formats=[torch]"]) == 0
    after = read_json(folder / "best.json")
    [step] = after["passes"]
    assert step["name"] == "finetune"
    assert step["val_after"] >= step["val_before"] == before["metrics"]["val_accuracy"]["value"]
    assert after["metrics"]["val_accuracy"]["value"] == step["val_after"]
    model = nas.load_model(folder / "best.json")
    assert weights_hash(model.state_dict()) == after["weights"]["hash"]
    looks = [r for r in lines(folder / "evaluations.jsonl") if r["split"].startswith("test:")]
    # The same weights are never tested twice; other weights are another model.
    assert len(looks) == 1 + (after["weights"]["hash"] != before["weights"]["hash"])


# -- other hardware ---------------------------------------------------------------------------


@pytest.mark.slow
def test_another_profile_is_searched_with_the_same_weights_and_accuracies(finished, copy_of):
    source = copy_of(finished)
    before = results(source)
    words = [
        "search",
        f"supernet={source}",
        "hardware=cpu_torch",
        f"out_dir={source.parent}",
        "name=other",
    ]
    assert main(words) == 0
    other, after = source.parent / "other", results(source)
    assert not (other / "supernet.safetensors").exists()
    found = Front.load(other / "front.json")
    assert found.profile["runtime"] == "torch_eager"
    assert found.weights == Front.load(source / "front.json").weights
    # The accuracies went to the source's store, each once.
    rows = lines(source / "evaluations.jsonl")
    keys = [(r["weights"], r["architecture"], r["metric"], r["split"]) for r in rows]
    assert len(keys) == len(set(keys))
    assert after.pop("evaluations.jsonl").startswith(before.pop("evaluations.jsonl"))
    assert after == before
    assert trials(other) == 16
    assert nas.load_model(other / "best.json") is not None


def test_the_run_folder_is_read_without_torch(finished):
    """Tools that only look at runs: the front, its traces, the configuration."""
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from nas.front import Front\n"
        "from nas.config import load_config\n"
        f"folder = Path({str(finished)!r})\n"
        "assert Front.load(folder / 'front.json').members\n"
        "assert load_config(folder / 'config.yaml').seed == 0\n"
        "assert 'torch' not in sys.modules, 'torch'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_paths_of_a_run_are_where_the_folder_says(finished):
    folder = RunFolder(finished)
    for path in (folder.config, folder.front, folder.best, folder.study, folder.predictor(KEY)):
        assert path.is_file()
