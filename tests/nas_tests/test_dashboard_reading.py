"""Run folders as the dashboard reads them: as they grow, and whoever wrote them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from nas.dashboard.fronts import front_of
from nas.dashboard.panels.status import strip
from nas.dashboard.panels.study import genes_tab, layers_tab, search_tab
from nas.dashboard.reading import files, journal
from nas.dashboard.reading.discovery import find_runs, keys_of
from nas.dashboard.reading.files import FileCache, json_lines, json_object
from nas.dashboard.reading.journal import TrialLog
from nas.dashboard.reading.liveness import being_written
from nas.dashboard.reading.records import parsed
from nas.dashboard.reading.run import RunReader
from nas.dashboard.state import State
from nas.dashboard.view import View
from nas.run_folder import RunFolder
from nas.study import read_study
from nas.study.journal import Journal
from tests.nas_tests.report_toy import search


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> RunFolder:
    """A real study with failed and infeasible trials, and nothing else."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "searched")
    folder.path.mkdir()
    search(folder, trials=40, fails=40, limit=0.25)
    return folder


def test_reading_bit_by_bit_equals_reading_at_once(searched, tmp_path):
    data = searched.study.read_bytes()
    copy = tmp_path / "study.journal"
    log = TrialLog(copy, tmp_path)
    seen = 0
    for end in (10, 1500, 9000, 9001, len(data) // 2, len(data) - 5, len(data)):
        with copy.open("ab") as file:
            file.write(data[seen:end])
        seen = end
        log.update()
    whole = read_study(searched.study)
    assert log.trials == list(whole.trials)
    assert log.skipped == 0
    assert log.objectives == whole.objectives
    assert log.box == whole.box
    assert len(log.genes) == len(log.trials) == len(log.ended)


def test_a_journal_that_begins_anew_is_read_anew(searched, tmp_path):
    lines = searched.study.read_bytes().splitlines(keepends=True)
    copy = tmp_path / "study.journal"
    copy.write_bytes(b"".join(lines))
    log = TrialLog(copy, tmp_path)
    log.update()
    copy.write_bytes(b"".join(lines[:8]))
    assert log.update()
    assert len(log.trials) == 5
    copy.unlink()
    assert log.update()
    assert log.trials == []


def test_damaged_lines_cost_themselves_only(searched, tmp_path):
    lines = searched.study.read_bytes().splitlines(keepends=True)
    record = json.loads(lines[3])
    wrong = [
        b"not json\n",
        b"[]\n",
        b'"op_code"\n',
        b"[" * 100_000 + b"\n",
        json.dumps({**record, "values": [1.0]}).encode() + b"\n",
        json.dumps({**record, "values": ["<script>", 1, 1]}).encode() + b"\n",
        json.dumps({**record, "values": [float("nan"), 1, 1]}).encode() + b"\n",
        json.dumps({**record, "user_attrs": {"digest": 5}}).encode() + b"\n",
        b'{"op_code": 4, "x": "' + b"y" * (journal.MAX_LINE + 10) + b'"}\n',
    ]
    (tmp_path / "study.journal").write_bytes(b"".join([*lines[:10], *wrong, *lines[10:]]))
    log = TrialLog(tmp_path / "study.journal", tmp_path)
    log.update()
    assert [t.digest for t in log.trials] == [t.digest for t in read_study(searched.study).trials]
    assert log.skipped == len(wrong)


def test_numbers_that_are_none_are_left_out(searched, tmp_path):
    lines = searched.study.read_bytes().splitlines(keepends=True)
    record = json.loads(lines[3])
    record["user_attrs"]["metrics"] |= {"a": "<b>", "b": True, "c": float("inf"), "d": 10**400}
    log = TrialLog(tmp_path / "study.journal", tmp_path)
    log.path.write_bytes(b"".join(lines[:3]) + json.dumps(record).encode() + b"\n")
    log.update()
    known = read_study(searched.study).trials[0].metrics
    assert log.trials[0].metrics == known


def test_only_distributions_are_skipped(searched):
    line = searched.study.read_bytes().splitlines()[4]
    whole = json.loads(line)
    del whole["distributions"]
    assert parsed(line, keep=False) == whole
    tricky = {**json.loads(line), "note": ',"distributions":{ ,"params":{'}
    compact = json.dumps(tricky, separators=(",", ":")).encode()
    assert parsed(compact, keep=False)["note"] == tricky["note"]


@pytest.mark.parametrize("kind", ["link out", "link loop", "too large", "deep", "folder"])
def test_files_are_read_inside_the_folder_and_capped(tmp_path, monkeypatch, kind):
    root, outside = tmp_path / "run", tmp_path / "secret.json"
    root.mkdir()
    outside.write_text('{"secret": 1}')
    path = root / "space.json"
    if kind == "link out":
        path.symlink_to(outside)
    elif kind == "link loop":
        path.symlink_to(path)
    elif kind == "too large":
        monkeypatch.setattr(files, "MAX_BYTES", 5)
        path.write_text('{"a": 1}')
    elif kind == "deep":
        path.write_text('{"a":' * 50_000 + "1" + "}" * 50_000)
    else:
        path.mkdir()
    cache = FileCache(root)
    assert cache.read(path, json_object, {}) == {}
    assert kind == "link loop" or "space.json" in cache.notes


def test_a_file_is_read_again_when_it_changes(tmp_path):
    path = tmp_path / "a.json"
    cache = FileCache(tmp_path)
    assert cache.read(path, json_object, {}) == {}
    path.write_text('{"a": 1}')
    first = cache.read(path, json_object, {})
    assert cache.read(path, json_object, {}) is first == {"a": 1}
    path.write_text('{"a": 12}')
    assert cache.read(path, json_object, {}) == {"a": 12}


def test_a_line_that_is_being_written_is_left_out(tmp_path):
    path = tmp_path / "training.jsonl"
    path.write_text('{"epoch": 1}\n{"epoch": 2}\nrubbish\n{"epoch": 3')
    assert json_lines(path) == [{"epoch": 1}, {"epoch": 2}]


def test_runs_are_found_in_folders_of_runs_and_of_profiles(searched, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("")
    shutil.copytree(searched.path, tmp_path / "a")
    for name in ("cpu", "cpu_torch"):
        shutil.copytree(searched.path, tmp_path / "b" / "devices" / name)
    (tmp_path / "b" / "config.yaml").write_text("seed: 1\n")
    merged = tmp_path / "c" / "devices" / "cpu"
    merged.mkdir(parents=True)
    (merged / "front.json").write_text("{}")
    (tmp_path / "c" / "space.json").write_text("{}")  # what merging runs writes, no more
    found = keys_of(find_runs([tmp_path, tmp_path / "a", searched.path]))
    assert list(found) == ["a", "b/cpu", "b/cpu_torch", "c/cpu", "searched"]


def test_runs_of_one_name_are_told_apart(tmp_path):
    folders = [RunFolder(tmp_path / place / "run") for place in "xy"]
    assert list(keys_of(folders)) == ["run", "run (2)"]


def test_a_search_that_goes_on_has_a_front_of_its_own(searched):
    run = RunReader("searched", searched).read()
    assert not run.verified
    assert {m.digest for m in run.front.members} == {
        t.digest for t in read_study(searched.study).front
    }
    assert run.front.limits == {"latency_ms": 0.25}


@pytest.mark.parametrize(
    "front",
    [
        "",
        "[]",
        '{"schema_version": 9}',
        '{"schema_version": 1, "members": 7}',
        '{"schema_version": 1, "members": [{}]}',
        '{"schema_version": 1, "members": [{"architecture": {"stages": "x"}}]}',
    ],
)
def test_a_damaged_front_is_noted(searched, tmp_path, front):
    shutil.copytree(searched.path, tmp_path / "run")
    (tmp_path / "run" / "front.json").write_text(front)
    run = RunReader("run", RunFolder(tmp_path / "run")).read()
    assert not run.verified
    assert any("front.json" in note for note in run.notes)


def test_an_empty_folder_and_a_folder_that_vanishes(tmp_path):
    reader = RunReader("run", RunFolder(tmp_path / "run"))
    assert reader.read().front.members == ()
    (tmp_path / "run").mkdir()
    assert reader.read().log.trials == []


def test_nothing_is_written(searched, tmp_path):
    shutil.copytree(searched.path, tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")}
    os.chmod(tmp_path / "run", 0o555)
    try:
        RunReader("run", RunFolder(tmp_path / "run")).read()
    finally:
        os.chmod(tmp_path / "run", 0o755)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")} == before


def test_a_journal_that_a_search_holds_is_being_written(searched, tmp_path):
    path = tmp_path / "study.journal"
    shutil.copy(searched.study, path)
    assert not being_written(path)
    with Journal(path):
        assert being_written(path)
        log = TrialLog(path, tmp_path)
        log.update()  # reading takes no lock
        assert len(log.trials) == 40
    assert not being_written(path)


def _beginning(searched: RunFolder, folder: Path, trials: list[bytes]) -> State:
    folder.mkdir()
    lines = searched.study.read_bytes().splitlines(keepends=True)
    (folder / "study.journal").write_bytes(b"".join([*lines[:3], *trials]))
    return State([folder])


def _failed(searched: RunFolder, count: int) -> list[bytes]:
    lines = searched.study.read_bytes().splitlines()
    record = next(json.loads(line) for line in lines if b'"state":3' in line[:200])
    return [json.dumps(record, separators=(",", ":")).encode() + b"\n"] * count


@pytest.mark.parametrize("kind", ["no journal", "no trial", "one trial", "failed only"])
def test_runs_with_next_to_nothing_are_drawn(searched, tmp_path, kind):
    lines = searched.study.read_bytes().splitlines(keepends=True)
    good = next(line for line in lines if b'"state":1' in line[:200])
    trials = {"one trial": [good], "failed only": _failed(searched, 3000)}.get(kind, [])
    state = _beginning(searched, tmp_path / "run", trials)
    if kind == "no journal":
        (tmp_path / "run" / "study.journal").unlink()
        (tmp_path / "run" / "config.yaml").write_text("seed: 0\n")
    run = state.runs()["run"]
    assert run.log.failed == (3000 if kind == "failed only" else 0)
    assert len(run.front.members) == (kind == "one trial")
    figure = front_of(state, View())
    assert bool(figure.data) == (kind == "one trial")
    for tab in (search_tab([run]), layers_tab([run], View()), genes_tab([run], View())[0]):
        assert tab
    told = str(strip(state.runs(), ["run"])[0])
    assert ("3,000" in told) == (kind == "failed only")


def test_metrics_that_an_old_run_does_not_know_cost_nothing(searched):
    state = State([searched.path])
    figure = front_of(state, View(x="energy_mj", y="accuracy"))
    assert not figure.data
    assert front_of(state, View(x="latency_ms", y="accuracy")).data
