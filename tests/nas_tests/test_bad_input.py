"""Bad input at the command line: one line that helps, exit code 2, nothing half-written."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from nas.cli import main
from nas.run_folder import read_json
from tests.nas_tests.tiny_run import SPACE, TRAINING, command, contents


@pytest.fixture
def place(tmp_path):
    """A folder that is not there yet."""
    return tmp_path / "runs" / "new"


def stage(**changes):
    """A space of one stage, as an override."""
    given = {
        "width": "[16]",
        "depth": "[1]",
        "heads": "[1]",
        "mlp_ratio": "[1]",
        "attention": "[softmax]",
    } | changes
    inner = ", ".join(f"{name}: {value}" for name, value in given.items())
    return f"space.stages=[{{{inner}}}]"


# -- spaces -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([stage(attention="[sofmax]")], ["stages[0].attention='sofmax'", "'softmax'?"]),
        ([stage(attention="[{op: window, sise: 2}]")], ["'sise'", "did you mean 'size'?"]),
        (["space.position=[pge]"], ["space.position='pge'", "did you mean 'peg'?"]),
        (["space.patch_sise=[2]"], ["'space.patch_sise'", "'space.patch_size'"]),
        ([stage(attention="[none]")], ["no legal architecture", "passes information"]),
        (["space.patch_size=[4,5]"], ["space.patch_size=5", "1, 2, 4, 8, 16", "pad=true"]),
        (["space.pad=yes please"], ["space.pad='yes please'", "true or false"]),
        (["space.image_size=[8,8]"], ["space.image_size=[8, 8]", "data.name='digits'", "[16, 16]"]),
        (["data.channels=3"], ["data.channels=3", "1 for digits"]),
    ],
)
def test_a_space_that_cannot_be_used(place, refusal, words, parts):
    line = refusal(*command(place), *words)
    for part in parts:
        assert part in line
    assert not place.exists()


def test_an_odd_patch_works_with_padding(place):
    pad = ["space.patch_size=[5]", "space.pad=true", "training.epochs=1"]
    assert main(["train", *command(place)[1:], stage(), *pad]) == 0


# -- limits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "unit"),
    [
        ("constraints.params=10", ""),
        ("constraints.macs=1", ""),
        ("constraints.peak_memory_mb=1e-6", " MB"),
    ],
)
def test_a_limit_on_what_is_counted_is_refused_before_any_work(place, refusal, limit, unit):
    line = refusal(*command(place, limit))
    name = limit.split("=")[0]
    assert line.startswith(f"{name}=")
    assert "no architecture of the space meets it" in line
    best = line.split("about ")[1].removesuffix(unit)
    assert float(best) > 0
    assert not place.exists()
    assert main([*command(place, f"{name}={2 * float(best)}", "--cfg", "job")]) == 0


def test_the_best_reachable_value_is_reachable(place, refusal, finished):
    """The smallest of the space, as the front's cheapest member could be."""
    line = refusal(*command(place, "constraints.params=10"))
    best = float(line.split("about ")[1])
    front = read_json(finished / "front.json")
    assert best <= min(m["metrics"]["params"]["value"] for m in front["members"])


def test_a_limit_on_latency_is_refused_with_the_best_value_and_a_way_on(
    finished, tmp_path, refusal
):
    source = shutil.copytree(finished, tmp_path / "source")
    words = [f"supernet={source}", f"out_dir={tmp_path}", "name=other"]
    line = refusal("search", *words, "constraints.latency_ms=1e-6")
    assert line.startswith("constraints.latency_ms=1e-06: no architecture")
    assert " ms;" in line
    assert f"supernet={source}" in line
    assert contents(source) == contents(finished)
    assert not (tmp_path / "other" / "study.journal").exists()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["{max: 1, min: 2}"], ["latency_ms.min=2", "latency_ms.max=1", "contradict"]),
        (["{mx: 1}"], ["'mx'", "did you mean 'max'?"]),
        (["{max: 1, confidence: 1.5}"], ["latency_ms.confidence=1.5", "below 1"]),
    ],
)
def test_a_limit_that_cannot_be_read(place, refusal, words, parts):
    line = refusal(*command(place, f"constraints.latency_ms={words[0]}"))
    for part in parts:
        assert part in line
    assert not place.exists()


def test_counted_limits_that_contradict_are_refused_together_before_any_work(place, refusal):
    words = ["constraints.params=2000", "constraints.macs={min: 100000}"]
    line = refusal(*command(place, *words))
    assert line.startswith("constraints.macs={min: 100000} and constraints.params=2000: ")
    assert "meets both; the best compromise found has macs " in line
    assert not place.exists()


def test_a_limit_on_latency_is_refused_before_training(place, refusal):
    line = refusal(*command(place, "constraints.latency_ms=1e-6"))
    assert line.startswith("constraints.latency_ms=1e-06: no architecture")
    assert not (place / "supernet.safetensors").exists()
    # The folder has measured, not searched: another limit goes on from there.
    line = refusal(*command(place, "constraints.latency_ms={max: 1e-5, confidence: 0.9}"))
    assert "at the 0.9 quantile" in line
    assert len(list((place / "profiles").glob("*.predictor.json"))) == 1


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("search.objectives=[accuracy,accuracy]", ["every metric once"]),
        ("search.objectives=[accuracy,latency]", ["did you mean 'latency_ms'?"]),
        ("search.reference={latency: 5}", ["did you mean 'search.reference.latency_ms'?"]),
        ("search.reference={params: 5}", ["search.reference='params'", "peak_memory_mb"]),
        ("search.reference={accuracy: 1}", ["search.reference.accuracy=1"]),
        ("search.reference={latency_ms: inf}", ["search.reference.latency_ms", "finite"]),
        ("search.patience=0", ["search.patience=0", "1 or more"]),
        ("search.first_look=3", ["search.first_look=3", "16 or more, or null"]),
        ("constraints.latncy_ms=3", ["did you mean 'constraints.latency_ms'?"]),
    ],
)
def test_a_question_that_cannot_be_asked(place, refusal, word, parts):
    line = refusal(*command(place, word))
    for part in parts:
        assert part in line
    assert not place.exists()


def test_a_study_of_another_space_or_split_is_refused_with_the_reason(finished, copy_of, refusal):
    folder = copy_of(finished)
    journal = folder / "study.journal"
    text = journal.read_text()
    split = read_json(folder / "front.json")["data"]["digest"]
    digest = read_json(folder / "space.json")["digest"]
    for name, old in (("split", split), ("space", digest)):
        journal.write_text(text.replace(old, "0" * len(old)))
        before = journal.read_bytes()
        line = refusal("run", str(folder), "search.trials=24")
        assert name in line
        assert old in line
        assert journal.read_bytes() == before


@pytest.mark.parametrize("value", ["0", "nan", "fast"])
def test_a_limit_that_is_no_limit(place, refusal, value):
    assert f"constraints.latency_ms={value}" in refusal(
        *command(place, f"constraints.latency_ms={value}")
    ).replace("'", "").replace(".0", "")
    assert not place.exists()


# -- numbers and names ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("search.trials=0", ["search.trials=0", "1 or more"]),
        ("training.epochs=0", ["training.epochs=0", "1 or more"]),
        ("profile.n_runtime=3", ["profile.n_runtime=3", "at least 10"]),
        ("device=cdua", ["device='cdua'"]),
        ("name=a/b", ["name='a/b'", "without /"]),
        ("executor=rya", ["executor='rya'", "did you mean 'ray'?"]),
        ("data=digit", ["data='digit'", "did you mean 'digits'?"]),
    ],
)
def test_a_value_that_cannot_be(place, refusal, word, parts):
    line = refusal(*command(place, word))
    for part in parts:
        assert part in line
    assert not place.exists()


# -- images -----------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path):
    """Two classes of twelve pictures."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(12):
            pixels = rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{index}.png")
    return tmp_path / "photos"


def folder_command(place, path):
    words = ["data=folder", f"data.path={path}", "data.image_size=16", "space.channels=3"]
    return ["train", *command(place)[1:], *words]


def remove(photos):
    shutil.rmtree(photos)


def empty(photos):
    shutil.rmtree(photos)
    photos.mkdir()


def one_class(photos):
    shutil.rmtree(photos / "cat")


def no_pictures(photos):
    for path in (photos / "cat").iterdir():
        path.unlink()


def broken(photos):
    (photos / "cat" / "3.png").write_bytes(b"\x89PNG no picture")


def all_broken(photos):
    for path in photos.rglob("*.png"):
        path.write_bytes(b"no picture")


def too_few(photos):
    for path in sorted((photos / "cat").iterdir())[2:]:
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (remove, ["data.path=", "no such folder"]),
        (empty, ["data.path", "is empty", "one folder of images per class"]),
        (one_class, ["data.path", "one class 'dog'", "two or more"]),
        (no_pictures, ["data.path", "holds no image"]),
        (broken, ["data.max_unreadable=0.01", "1 of 24", "3.png"]),
        (all_broken, ["data.max_unreadable", "24 of 24"]),
        (too_few, ["cat"]),
    ],
)
def test_images_that_cannot_be_used(place, photos, refusal, spoil, parts):
    spoil(photos)
    line = refusal(*folder_command(place, photos))
    for part in parts:
        assert part in line
    assert not place.exists()


def test_a_folder_of_images_without_its_path(place, refusal):
    line = refusal("train", *command(place)[1:], "data=folder", "space.channels=3")
    assert "data.path=None" in line
    assert not place.exists()


def test_images_that_changed_since_the_run_began(place, photos, refusal):
    words = folder_command(place, photos)
    assert main([*words, "training.epochs=1"]) == 0
    before = contents(place)
    Image.new("RGB", (20, 24)).save(photos / "cat" / "0.png")
    line = refusal(*words, "training.epochs=1")
    assert "the images are not those this run began with" in line
    assert "name=" in line
    assert contents(place) == before


# -- checkpoints and run folders --------------------------------------------------------------


def cut_short(path):
    path.write_bytes(path.read_bytes()[:1000])


def pickled(path):
    torch.save(load_file(path), path)


def foreign(path):
    save_file(load_file(path), path)


def emptied(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [cut_short, pickled, foreign, emptied])
def test_a_checkpoint_that_is_none(finished, copy_of, refusal, spoil):
    folder = copy_of(finished)
    spoil(folder / "supernet.safetensors")
    before = contents(folder)
    line = refusal("run", str(folder))
    assert "supernet.safetensors: " in line
    after = contents(folder)
    assert {n for n in after if after[n] != before[n]} <= {"seconds.json", "config.yaml"}


def test_a_checkpoint_of_another_run(finished, copy_of, place, refusal):
    folder = copy_of(finished)
    assert (
        main(["train", *TRAINING, stage(width="[24]"), f"out_dir={place.parent}", "name=new"]) == 0
    )
    shutil.copy(place / "supernet.safetensors", folder)
    line = refusal("run", str(folder))
    assert "trained with another space" in line
    line = refusal("search", str(folder))
    assert "weights of another space" in line


def test_a_run_folder_of_another_space(finished, refusal):
    before = contents(finished)
    line = refusal(*command(finished), stage())
    assert "is another run: space.stages: " in line
    assert "name=" in line
    assert contents(finished) == before


def test_a_run_folder_that_is_none(tmp_path, refusal):
    (tmp_path / "photos").mkdir()
    for name in ("run", "search", "export", "pick"):
        assert "is a run folder" in refusal(name, str(tmp_path / "photos")).replace(
            f"is {tmp_path / 'photos'} ", "is "
        )
    assert list((tmp_path / "photos").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("config.yaml", ["run"]),
        ("splits.json", ["run"]),
        ("front.json", ["run"]),
        ("front.json", ["pick"]),
        ("study.journal", ["run"]),
        (
            "profiles/cpu_onnxruntime_fp32_threads1_batch8_1x16x16.predictor.json",
            ["run"],
        ),
        ("profiles/memory.json", ["run"]),
        ("seconds.json", ["run"]),
        ("val_images.safetensors", ["run", "search.trials=18"]),
    ],
)
def test_a_file_of_the_run_that_was_damaged_is_named(finished, copy_of, refusal, name, words):
    folder = copy_of(finished)
    (folder / name).write_text("{ not [ what it was\n")
    line = refusal(words[0], str(folder), *words[1:])
    assert name.rpartition("/")[2] in line


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"schema_version": 2}, "schema_version=2"),
        ({"members": [{}]}, "damaged"),
        ({"members": "none"}, "damaged"),
        ({"winner": "0" * 16}, "no member"),
        ({"extra": 1}, "damaged"),
    ],
)
def test_a_front_that_was_edited_is_refused(finished, copy_of, refusal, change, part):
    folder = copy_of(finished)
    data = {**read_json(folder / "front.json"), **change}
    (folder / "front.json").write_text(json.dumps(data))
    assert part in refusal("export", str(folder))


def test_a_search_without_a_trained_supernet(place, refusal):
    assert "formfinder train first" in refusal("search", *command(place)[1:])
    assert not place.exists()


def test_an_export_without_a_front(place, refusal):
    assert "formfinder run first" in refusal("export", *command(place)[1:])
    assert not place.exists()


# -- the disk ---------------------------------------------------------------------------------


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


LITTLE_ROOM = {
    "config.yaml": (["*"], 100),
    "supernet.safetensors": (["supernet.safetensors", "training.jsonl"], 20_000),
}
LITTLE_ROOM_SLOW = {
    "best.safetensors": (["best.safetensors", "best.json"], None),
    "study.journal": (["study.journal", "front.json", "best.*"], 20_000),
    "splits.json": (["*"], 4000),
    ".jsonl": (["profiles/*", "study.journal"], 8000),
    "val_images.safetensors": (["val_images.safetensors"], 100_000),
    "front.json": (["front.json", "best.*"], None),
    "best.onnx": (["best.onnx"], None),
    "report.html": (["report.html"], 200_000),
}


@pytest.mark.parametrize(
    ("named", "lost", "size"),
    [
        *((named, *given) for named, given in LITTLE_ROOM.items()),
        *(
            pytest.param(named, *given, marks=pytest.mark.slow)
            for named, given in LITTLE_ROOM_SLOW.items()
        ),
    ],
)
def test_a_full_disk_is_told_by_the_file_and_nothing_half_written_stays(
    finished, copy_of, refusal, named, lost, size
):
    """The step that made ``lost`` is done again with too little room for one of its files."""
    folder = copy_of(finished)
    for pattern in lost:
        for path in list(folder.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = contents(folder)
    words = ["run", str(folder)] if lost != ["*"] else command(folder)
    with no_more_than(size or (finished / named).stat().st_size - 1):
        line = refusal(*words)
    assert named in line
    assert "cannot be written" in line
    after = contents(folder)
    for name, content in after.items():
        assert not name.endswith(".tmp"), name
        if name.endswith(".json"):
            json.loads(content)
    for name in set(before) - {"config.yaml", "seconds.json", "evaluations.jsonl"}:
        if not name.startswith(("study", "search.csv")):
            assert after[name] == before[name], name
    if lost != ["*"]:
        assert main(words) == 0  # with room again, the same command goes on


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named(tmp_path, refusal):
    (tmp_path / "closed").mkdir(mode=0o500)
    line = refusal(*command(tmp_path / "closed" / "new"))
    assert "closed" in line
    assert "Permission denied" in line


def test_a_file_in_the_way_of_the_folder_is_named(tmp_path, refusal):
    (tmp_path / "runs").write_text("a file")
    line = refusal(*command(tmp_path / "runs" / "new"))
    assert "runs" in line
    assert "cannot be written" in line


# -- Ray --------------------------------------------------------------------------------------


def test_without_ray_the_way_without_is_told_before_any_work(place, refusal, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # as where it is not installed
    line = refusal(*command(place), "executor=ray")
    assert line.startswith("executor=ray: ")
    assert "executor=in_process runs without Ray" in line
    assert not place.exists()


def test_the_tiny_space_is_no_bad_input_itself(place):
    assert SPACE in command(place)
    assert main([*command(place), "--cfg", "job"]) == 0
