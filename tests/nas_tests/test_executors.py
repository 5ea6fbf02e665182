"""What executors have in common, and their options."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nas.executors import EXECUTORS, ExecutorOptions, open_executor
from nas.executors.ray_session import worker_environment
from search_spaces.errors import UserError
from search_spaces.registry import PLUGINS_VARIABLE
from tests.nas_tests.study_toy import ToyFactory, accuracy_of, architecture

SOME = [architecture(width) for width in (16, 32, 64)]


def test_every_executor_says_what_it_is() -> None:
    assert set(EXECUTORS.names()) >= {"in_process", "ray"}
    assert all(opener.label and opener.summary for opener in EXECUTORS)


def test_in_process_answers_in_order_and_builds_its_evaluator_once(tmp_path: Path) -> None:
    built = []

    class Counting(ToyFactory):
        def build(self, shared):  # type: ignore[no-untyped-def]
            built.append(1)
            return super().build(shared)

    with open_executor("in_process", Counting(), ExecutorOptions(), tmp_path) as executor:
        assert built == [], "nothing is loaded before it is needed"
        for _ in range(2):
            outcomes = list(executor.run(SOME, lambda: False))
    assert [outcome.architecture for outcome in outcomes] == SOME
    assert [outcome.values["accuracy"] for outcome in outcomes] == list(map(accuracy_of, SOME))
    assert built == [1]


def test_in_process_begins_nothing_after_a_stop(tmp_path: Path) -> None:
    stop = iter([False, True])
    executor = open_executor("in_process", ToyFactory(), ExecutorOptions(), tmp_path)
    assert len(list(executor.run(SOME, lambda: next(stop)))) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("workers", 0),
        ("timeout_s", 0.0),
        ("timeout_s", float("nan")),
        ("retries", -1),
        ("threads", 0),
    ],
)
def test_options_out_of_their_domain(field: str, value: float) -> None:
    with pytest.raises(UserError, match=rf"executor\.{field}"):
        ExecutorOptions(**{field: value})  # type: ignore[arg-type]


def test_without_ray_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"executor=ray: .*executor=in_process runs without Ray"):
        open_executor("ray", ToyFactory(), ExecutorOptions(), tmp_path)


def test_workers_get_absolute_plug_in_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(PLUGINS_VARIABLE, "mine")
    environment = worker_environment(ExecutorOptions(threads=3))
    assert environment[PLUGINS_VARIABLE] == str(tmp_path / "mine")
    assert environment["OMP_NUM_THREADS"] == "3"
    monkeypatch.delenv(PLUGINS_VARIABLE)
    assert PLUGINS_VARIABLE not in worker_environment(ExecutorOptions())
