"""One run for several profiles, and one front from several runs."""

from __future__ import annotations

import json
import shutil

import pytest

import nas
from nas.cli import main
from nas.front import Front
from nas.measurement.memory_file import memory_of
from nas.merging import SEVERAL
from nas.pareto import non_dominated
from nas.run_folder import RunFolder, read_json
from nas.study import read_study
from tests.nas_tests.tiny_run import contents, lines, results, trials

PROFILES = ("cpu", "cpu_torch")
pytestmark = pytest.mark.slow  # whole searches


@pytest.fixture(scope="module")
def source(finished, tmp_path_factory):
    """A copy of the finished run, whose weights and accuracies the others use."""
    return shutil.copytree(finished, tmp_path_factory.mktemp("several") / "source")


def search(source, name, *more):
    words = ["search", f"supernet={source}", f"out_dir={source.parent}", f"name={name}"]
    assert main([*words, "progress=false", *more]) == 0
    return source.parent / name


@pytest.fixture(scope="module")
def several(source):
    """A run for two profiles."""
    return search(source, "several", "hardware=[cpu,cpu_torch]")


@pytest.fixture(scope="module")
def second(source, several):
    """The same space and weights searched with another seed, from a known good architecture."""
    return search(source, "second", "hardware=cpu", "seed=1", f"search.start_from=[{several}]")


# -- several profiles -------------------------------------------------------------------------


def test_each_profile_has_a_study_a_front_and_a_winner_of_its_own(several):
    keys = set()
    for name in PROFILES:
        folder = several / "devices" / name
        front = Front.load(folder / "front.json")
        keys.add(front.profile["key"])
        assert front.run == f"several/{name}"
        assert {m.metrics["latency_ms"].source["profile"] for m in front.members} == {
            front.profile["key"]
        }
        assert trials(folder) == 16
        assert nas.load_model(folder / "best.json").architecture.digest() == front.winner
        assert (folder / "report.html").exists()
    assert len(keys) == 2
    shared = {path.name for path in several.iterdir() if path.is_file()}
    assert not shared & {"front.json", "best.json", "study.journal"}


def test_the_second_study_begins_with_the_first_front_and_pays_for_none_of_it(several):
    first = Front.load(several / "devices" / "cpu" / "front.json")
    study = read_study(several / "devices" / "cpu_torch" / "study.journal")
    begun = {trial.digest for trial in study.trials[: 4 + len(first.standing())]}
    assert {member.digest for member in first.standing()} <= begun
    known = {member.digest for member in first.members}
    assert all(t.source == "store" for t in study.trials if t.digest in known)


def test_accuracies_are_paid_for_once_for_all_profiles(source, several):
    rows = lines(source / "evaluations.jsonl")
    keys = [(row["weights"], row["architecture"], row["split"]) for row in rows]
    assert len(keys) == len(set(keys))
    assert not (several / "evaluations.jsonl").exists() or all(
        row["split"].startswith("test:") for row in lines(several / "evaluations.jsonl")
    )


def test_the_page_shows_the_fronts_side_by_side(several):
    page = (several / "report.html").read_text()
    for name in PROFILES:
        assert f'id="front-{name}"' in page
        assert f'href="devices/{name}/report.html"' in page
    assert 'id="plot-front-cpu"' in page


def test_a_profile_that_was_measured_for_the_weights_is_not_measured_again(source, several):
    key = Front.load(several / "devices" / "cpu" / "front.json").profile["key"]
    for name in (f"{key}.jsonl", f"{key}.predictor.json"):
        ours, theirs = (run / "profiles" / name for run in (several, source))
        assert ours.read_bytes() == theirs.read_bytes()
    ours, theirs = (memory_of(read_json(RunFolder(run).memory), key) for run in (several, source))
    assert ours == theirs


def test_the_same_command_changes_nothing_and_a_larger_budget_goes_on(several, copy_of, capsys):
    folder = copy_of(several)
    before = results(folder)
    assert main(["search", str(folder), "search.trials=24"]) == 0
    out = capsys.readouterr().out
    assert "2 profiles: " in out
    after = results(folder)
    for name in PROFILES:
        part = f"devices/{name}/study.journal"
        assert after[part].startswith(before[part])
        assert trials(folder / "devices" / name) == 24
    assert after["devices/cpu_torch/start.json"] == before["devices/cpu_torch/start.json"]


def test_export_writes_what_is_missing_of_every_profile(several, copy_of, refusal):
    folder = copy_of(several)
    for name in ("devices/cpu/best.onnx", "devices/cpu_torch/report.html", "report.html"):
        (folder / name).unlink()
    assert main(["export", str(folder)]) == 0
    assert set(contents(several)) == {name for name in contents(folder) if "/exports/" not in name}
    (folder / "devices" / "cpu_torch" / "front.json").unlink()
    assert "nothing to export yet" in refusal("export", str(folder))


def test_pick_and_describe_want_to_know_which(several, copy_of, refusal, capsys):
    folder = copy_of(several)
    assert "allowed is one of cpu, cpu_torch" in refusal("pick", str(folder))
    front = Front.load(folder / "devices" / "cpu_torch" / "front.json")
    top = max(front.standing(), key=lambda member: member.value("accuracy"))
    words = ["hardware=cpu_torch", f"member={top.digest[:8]}"]
    assert main(["pick", str(folder), *words]) == 0
    best = read_json(folder / "devices" / "cpu_torch" / "picks" / top.digest / "best.json")
    assert best["profile"]["runtime"] == "torch_eager"
    capsys.readouterr()
    assert main(["describe", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "several/cpu:" in out
    assert "several/cpu_torch:" in out
    assert main(["describe", str(folder), f"member={top.digest[:8]}"]) == 0
    assert top.digest in capsys.readouterr().out
    assert "how it begins" in refusal("describe", str(folder), "member=nothing")
    assert "did you mean 'member'?" in refusal("describe", str(folder), "mebmer=1")


# -- known good architectures -----------------------------------------------------------------


def test_known_good_architectures_are_tried_first(several, second):
    known = {
        member.digest
        for name in PROFILES
        for member in Front.load(several / "devices" / name / "front.json").standing()
    }
    study = read_study(second / "study.journal")
    assert known <= {trial.digest for trial in study.trials[: 4 + len(known)]}
    start = read_json(second / "start.json")
    assert len(start["architectures"]) == len(known)


@pytest.mark.parametrize(
    ("place", "part"),
    [
        ("nowhere", "no such file or run folder"),
        ("empty", "no front.json"),
        ("other.json", "is not in the space"),
    ],
)
def test_a_start_that_cannot_be_used_is_refused_before_any_work(
    source, several, tmp_path, refusal, place, part
):
    (tmp_path / "empty").mkdir()
    best = read_json(several / "devices" / "cpu" / "best.json")["architecture"]
    other = json.dumps({**best, "image_size": [32, 32]})
    (tmp_path / "other.json").write_text(other)
    words = [f"supernet={source}", f"out_dir={tmp_path}", "name=new"]
    line = refusal("search", *words, f"search.start_from=[{tmp_path / place}]")
    assert line.startswith("search.start_from: ")
    assert part in line
    assert not (tmp_path / "new").exists()


# -- merging ----------------------------------------------------------------------------------


def merged(tmp_path, *runs):
    assert main(["merge", *map(str, runs), f"out_dir={tmp_path}", "name=all"]) == 0
    return tmp_path / "all"


def test_fronts_of_one_profile_become_one(second, source, tmp_path, capsys):
    folder = merged(tmp_path, source, second)
    front = Front.load(folder / "front.json")
    parts = {path.name: Front.load(path / "front.json") for path in (source, second)}
    assert {member.origin["run"] for member in front.members} <= set(parts)
    for member in front.members:
        theirs = parts[member.origin["run"]].member(member.digest)
        assert member.metrics == theirs.metrics
        assert member.origin["weights"] == parts[member.origin["run"]].weights
        assert member.origin["seed"] == (1 if member.origin["run"] == "second" else 0)
    rows = [[m.value(str(o["name"])) for o in front.objectives] for m in front.members]
    standing = non_dominated(rows, [o["direction"] for o in front.objectives])
    assert [not member.dominated for member in front.members] == standing.tolist()
    assert front.weights == parts["second"].weights
    assert (folder / "report.html").exists()
    origin = front.member(front.winner).origin
    assert f"formfinder pick {origin['path']} member={front.winner}" in capsys.readouterr().out


def test_fronts_of_several_profiles_stay_apart(several, second, tmp_path):
    folder = merged(tmp_path, several, second)
    assert not (folder / "front.json").exists()
    for part in RunFolder(folder).parts():
        front = Front.load(part.front)
        assert {member.origin["profile"] for member in front.members} == {front.profile["key"]}
    names = [part.device for part in RunFolder(folder).parts()]
    assert names == list(PROFILES)


def test_other_weights_are_told_apart(second, source, copy_of, tmp_path):
    other = copy_of(second)
    text = (other / "front.json").read_text()
    front = Front.load(other / "front.json")
    (other / "front.json").write_text(text.replace(front.weights, "0" * len(front.weights)))
    assert Front.load(merged(tmp_path, source, other) / "front.json").weights == SEVERAL


@pytest.mark.parametrize(
    ("file", "old", "new", "part"),
    [
        ("space.json", '"digest": "', '"digest": "0', "another space"),
        ("front.json", '"name": "peak_memory_mb"', '"name": "macs"', "other objectives"),
        ("front.json", '"digest": "', '"digest": "0', "another data split"),
        ("front.json", '"processor": "', '"processor": "Other ', "another machine"),
    ],
)
def test_what_cannot_be_compared_is_not_merged(
    second, source, copy_of, tmp_path, refusal, file, old, new, part
):
    other = copy_of(second)
    path = other / file
    path.write_text(path.read_text().replace(old, new))
    line = refusal("merge", str(source), str(other), f"out_dir={tmp_path}")
    assert part in line
    assert str(other) in line
    assert not (tmp_path / "merged").exists()


def test_words_that_merge_cannot_use(source, second, tmp_path, refusal):
    assert "two run folders or more" in refusal("merge", str(source))
    assert "no such run folder" in refusal("merge", str(source), str(tmp_path / "nothing"))
    line = refusal("merge", str(source), str(second), "nmae=x")
    assert "did you mean 'name'?" in line
    before = contents(source)
    words = [f"out_dir={source.parent}", f"name={source.name}"]
    assert "is a run" in refusal("merge", str(source), str(second), *words)
    assert contents(source) == before
    (tmp_path / "empty").mkdir()
    assert "a run folder?" in refusal("merge", str(source), str(tmp_path / "empty"))


def test_a_merged_front_is_not_merged_again(source, second, tmp_path, refusal):
    folder = merged(tmp_path, source, second)
    assert "was merged itself" in refusal("merge", str(folder), str(source))
