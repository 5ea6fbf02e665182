"""Runs that are true but odd: every part of the page still says what there is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nas.dashboard.fronts import front_of
from nas.dashboard.panels.architecture import details
from nas.dashboard.panels.drawn import table_of
from nas.dashboard.panels.predictors import predictors_tab
from nas.dashboard.panels.status import status_of
from nas.dashboard.panels.study import genes_tab, layers_tab, search_tab
from nas.dashboard.panels.tables import as_csv
from nas.dashboard.state import State, metrics_of
from nas.dashboard.view import DRAWN, View
from nas.study.journal import CREATE_TRIAL
from tests.nas_tests.report_toy import finished_run

FAILED = 3000


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    finished_run(folder, trials=30, fails=20)
    return folder


def one_point(folder: Path) -> None:
    """A front with one member, its winner."""
    front = json.loads((folder / "front.json").read_text())
    front["members"] = [m for m in front["members"] if m["digest"] == front["winner"]]
    (folder / "front.json").write_text(json.dumps(front))


def old(folder: Path) -> None:
    """As an older version wrote it: accuracy and latency alone, no traces, no extra files."""
    front = json.loads((folder / "front.json").read_text())
    for member in front["members"]:
        member["layers"] = []
        known = member["metrics"]
        member["metrics"] = {
            name: {"value": known[name]["value"], "kind": "measured"}
            for name in ("accuracy", "latency_ms")
        }
    (folder / "front.json").write_text(json.dumps(front))
    for name in ("training.jsonl", "memory.json", "seconds.json", "baselines.json"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "profiles", ignore_errors=True)


def thousands_failed(folder: Path) -> None:
    """A device that was unplugged, say."""
    (folder / "front.json").unlink()
    journal = folder / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    trial = next(x for x in map(json.loads, lines) if x["op_code"] == CREATE_TRIAL)
    attrs = {**trial["user_attrs"], "metrics": {}, "failed": "no device"}
    failed = {**trial, "state": 3, "values": None, "user_attrs": attrs}
    journal.write_bytes(b"".join(lines) + (json.dumps(failed).encode() + b"\n") * FAILED)


def half_written(folder: Path) -> None:
    """The journal's last line and the front are being written."""
    (folder / "front.json").write_text((folder / "front.json").read_text()[:500])
    journal = folder / "study.journal"
    journal.write_bytes(journal.read_bytes()[:-40])


@pytest.mark.parametrize("change", [one_point, old, thousands_failed, half_written])
def test_every_part_answers(finished, tmp_path, change):
    shutil.copytree(finished, tmp_path / "run")
    change(tmp_path / "run")
    state = State([tmp_path / "run"])
    [run] = state.runs().values()
    member = run.front.members[0]
    view = View(runs=(run.key,), point=f"{run.key}|{member.digest}")
    parts = [
        *(front_of(state, View(values=values)).to_json() for values in ("both", "predicted")),
        str(search_tab([run])),
        str(layers_tab([run], view)),
        str(genes_tab([run], view)),
        str(predictors_tab([run])),
        str(details(state, state.find(view.point), None)),
    ]
    assert not [part for part in parts if "cannot be" in part]
    for name in DRAWN:
        known = table_of(state, View(drawn=name, point=view.point), [run], 1000)
        assert known is not None
        assert len({len(row) for row in known[1]} | {len(known[0])}) == 1
        assert as_csv(known).count("\n") == len(known[1]) + 1
    assert "accuracy" in metrics_of([run])


def test_failed_trials_are_counted_and_the_others_drawn(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    thousands_failed(tmp_path / "run")
    state = State([tmp_path / "run"])
    [run] = state.runs().values()
    before = State([finished]).runs()["run"].log
    status = status_of(run)
    assert (status.done, status.failed) == (30 + FAILED, before.failed + FAILED)
    known = table_of(state, View(drawn="trade-off"), [run], 10_000)
    assert 0 < len(known[1]) < 100


def test_one_point_is_a_front(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    one_point(tmp_path / "run")
    figure = front_of(State([tmp_path / "run"]), View(flags=("logx",)))
    [point] = [t for t in figure.data if str(t.name).startswith("front")]
    assert len(point.x) == 1
    low, high = figure.layout.xaxis.range
    assert high > low
