"""``formfinder pick``: another member of a finished front, without searching."""

from __future__ import annotations

import pytest

import nas
from nas.cli import main
from nas.data.dataset import Dataset
from nas.front import Front
from nas.run_folder import read_json
from tests.nas_tests.tiny_run import contents, lines


@pytest.fixture(scope="module")
def front(finished):
    return Front.load(finished / "front.json")


def picked(folder):
    """The ``best.json`` files below ``picks``."""
    return {path.parent.name: path for path in folder.glob("picks/*/best.json")}


def looks(folder):
    """How often the test images were looked at."""
    rows = lines(folder / "evaluations.jsonl")
    return sum(row["split"].startswith("test:") for row in rows)


def test_the_most_accurate_member_is_exported_beside_the_winner(
    finished, copy_of, front, capsys, monkeypatch
):
    folder = copy_of(finished)
    before = contents(folder)
    assert main(["pick", str(folder), "by=accuracy"]) == 0
    assert "Pick by accuracy" in capsys.readouterr().out
    top = max(front.standing(), key=lambda m: (m.value("accuracy"), -m.value("latency_ms")))
    [(digest, path)] = picked(folder).items()
    assert digest == top.digest
    best = read_json(path)
    assert best["metrics"]["val_accuracy"]["value"] == top.value("accuracy")
    assert best["metrics"]["latency_ms"]["value"] == top.value("latency_ms")
    assert best["metrics"]["test_accuracy"]["n"] > 0
    assert nas.load_model(path).architecture == top.architecture
    # The run itself stays as it was; only the look at the test images is added.
    after = contents(folder)
    changed = {name for name in before if after[name] != before[name]}
    assert changed <= {"evaluations.jsonl"}
    assert {name.split("/")[0] for name in set(after) - set(before)} == {"picks"}
    known = looks(folder)
    assert known == 2 if top.digest != front.winner else 1

    def opened(self, model):
        raise AssertionError("the test split was opened again")

    monkeypatch.setattr(Dataset, "open_test", opened)
    assert main(["pick", str(folder), "by=accuracy"]) == 0
    assert looks(folder) == known


def test_the_member_within_a_limit_is_the_most_accurate_there(finished, copy_of, front):
    folder = copy_of(finished)
    fastest = min(front.standing(), key=lambda member: member.value("latency_ms"))
    bound = fastest.value("latency_ms")  # the bound itself is allowed
    assert main(["pick", str(folder), f"constraints.latency_ms={bound!r}"]) == 0
    assert list(picked(folder)) == [fastest.digest]
    best = read_json(picked(folder)[fastest.digest])
    assert best["metrics"]["latency_ms"]["value"] <= bound


def test_picking_the_winner_again_looks_at_no_test_image(finished, copy_of, front, monkeypatch):
    folder = copy_of(finished)
    winner = front.member(front.winner)
    before = looks(folder)

    def opened(self, model):
        raise AssertionError("the test split was opened again")

    monkeypatch.setattr(Dataset, "open_test", opened)
    assert main(["pick", str(folder), "by=knee"]) == 0
    assert list(picked(folder)) == [winner.digest]
    assert looks(folder) == before
    known = read_json(folder / "best.json")["metrics"]["test_accuracy"]
    assert read_json(picked(folder)[winner.digest])["metrics"]["test_accuracy"] == known


@pytest.mark.parametrize(
    ("limit", "name"),
    [
        ("constraints.latency_ms=0.000001", "latency_ms"),
        ("constraints.accuracy=0.999", "accuracy"),
        ("constraints.peak_memory_mb=0.0001", "peak_memory_mb"),
    ],
)
def test_a_limit_that_no_member_meets_is_told_with_the_best_there_is(
    finished, front, refusal, limit, name
):
    before = contents(finished)
    line = refusal("pick", str(finished), limit)
    values = [member.value(name) for member in front.standing()]
    best = max(values) if name == "accuracy" else min(values)
    assert limit.replace("0.000001", "1e-06") in line
    assert f"{best:.4g}" in line
    assert contents(finished) == before


def test_two_limits_are_told_together(finished, refusal):
    line = refusal("pick", str(finished), "constraints.latency_ms=0.000001", "constraints.params=1")
    assert "constraints.latency_ms=1e-06" in line
    assert "constraints.params=1" in line


def test_a_folder_without_a_front_says_what_to_do(finished, copy_of, refusal):
    folder = copy_of(finished)
    (folder / "front.json").unlink()
    before = contents(folder)
    line = refusal("pick", str(folder))
    assert "formfinder run" in line
    assert contents(folder) == before


def test_a_misspelt_rule_is_told(finished, refusal):
    line = refusal("pick", str(finished), "by=acuracy")
    assert "by='acuracy'" in line
    assert "accuracy" in line
