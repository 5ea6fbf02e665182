"""The evaluation store survives kills, sharing and damage."""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nas.evaluation import Evaluation, EvaluationKey, EvaluationStore
from search_spaces.errors import UserError


def key(name: str, metric: str = "accuracy", profile: str | None = None) -> EvaluationKey:
    return EvaluationKey(
        weights="w", architecture=name, metric=metric, split="val", profile=profile
    )


def test_what_was_put_is_there_and_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "run" / "evaluations.jsonl"
    store = EvaluationStore(path)
    assert store.get(key("a")) is None
    assert not path.exists()
    store.put(key("a"), 0.1 + 0.2, {"seconds": 1.5})
    store.put(key("a", profile="cpu"), 2.0)
    again = EvaluationStore(path)
    assert again.get(key("a")) == Evaluation(0.1 + 0.2, {"seconds": 1.5})
    assert again.get_many([key("a"), key("b")]) == {key("a"): again.get(key("a"))}
    assert len(again) == 2
    assert key("a", profile="cpu") in again
    assert list(again.items()) == list(store.items())


def test_a_second_value_says_nothing_new(tmp_path: Path) -> None:
    store = EvaluationStore(tmp_path / "e.jsonl")
    store.put(key("a"), 1.0)
    assert store.put(key("a"), 2.0).value == 1.0
    with store.path.open("a") as file:  # another process did not know
        file.write(store.path.read_text().replace("1.0", "3.0"))
    assert EvaluationStore(store.path).get(key("a")) == Evaluation(1.0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_no_evaluation(tmp_path: Path, value: float) -> None:
    store = EvaluationStore(tmp_path / "e.jsonl")
    with pytest.raises(ValueError, match="not finite"):
        store.put(key("a"), value)
    assert not store.path.exists()


@pytest.mark.parametrize("keep", range(0, 60, 7))
def test_a_half_written_line_is_cut_off_before_the_next_record(tmp_path: Path, keep: int) -> None:
    store = EvaluationStore(tmp_path / "e.jsonl")
    store.put(key("a"), 1.0)
    whole = store.path.read_bytes()
    store.put(key("b"), 2.0)
    line = store.path.read_bytes()[len(whole) :]
    store.path.write_bytes(whole + line[:keep])
    damaged = EvaluationStore(store.path)
    assert len(damaged) == 1
    damaged.put(key("c"), 3.0)
    again = EvaluationStore(store.path)
    assert [(k.architecture, e.value) for k, e in again.items()] == [("a", 1.0), ("c", 3.0)]
    assert again.problems == []


def test_damaged_lines_are_reported_and_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = EvaluationStore(tmp_path / "e.jsonl")
    store.put(key("a"), 1.0)
    record = json.loads(store.path.read_text())
    odd = [
        "{]",
        "[]",
        "7",
        json.dumps({**record, "value": None}),
        json.dumps({**record, "architecture": "n", "value": math.nan}),
        json.dumps({**record, "colour": "red"}),
    ]
    with store.path.open("a") as file:
        file.write("".join(f"{line}\n" for line in odd))
    store.put(key("b"), 2.0)
    with caplog.at_level(logging.WARNING):
        again = EvaluationStore(store.path)
    assert [k.architecture for k, _ in again.items()] == ["a", "b"]
    assert len(again.problems) == len(odd)
    assert ":2:" in again.problems[0]
    assert len(caplog.records) == len(odd)


def test_refresh_sees_what_others_appended(tmp_path: Path) -> None:
    ours, theirs = (EvaluationStore(tmp_path / "e.jsonl") for _ in range(2))
    ours.put(key("a"), 1.0)
    theirs.put(key("b"), 2.0)
    assert key("b") not in ours
    ours.refresh()
    assert key("b") in ours
    theirs.refresh()
    assert len(theirs) == 2


def test_several_processes_append_whole_records(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from nas.evaluation import EvaluationStore, EvaluationKey\n"
        "store = EvaluationStore(Path(sys.argv[1]))\n"
        "for i in range(150):\n"
        "    k = EvaluationKey(weights='w' * 300, architecture=f'{sys.argv[2]}-{i}',"
        " metric='accuracy', split='val')\n"
        "    store.put(k, float(i))\n"
    )
    path = str(tmp_path / "e.jsonl")
    writers = [subprocess.Popen([sys.executable, "-c", code, path, str(n)]) for n in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    store = EvaluationStore(Path(path))
    assert store.problems == []
    assert len(store) == 450


def test_a_full_disk_is_one_line_and_leaves_no_half_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EvaluationStore(tmp_path / "e.jsonl")
    store.put(key("a"), 1.0)
    before = store.path.read_bytes()
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, data: real(file, data[:10]))
        with pytest.raises(UserError, match="No space left"):
            store.put(key("b"), 2.0)
    assert store.path.read_bytes() == before
    assert key("b") not in store
    store.put(key("b"), 2.0)
    assert len(EvaluationStore(store.path)) == 2


def test_a_folder_in_place_of_the_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        EvaluationStore(tmp_path)
