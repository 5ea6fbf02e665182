"""What trackers are told, what they are not told twice, and that none of them can hurt a run."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from nas.config import load_config
from nas.display import Display
from nas.front import Front
from nas.run_folder import RunFolder
from nas.study.reading import read_study
from nas.tracking.guard import Guard, reason
from nas.tracking.none import FileTracker
from nas.tracking.results import publish
from nas.tracking.session import Tracking
from nas.tracking.tracker import TRACKERS, TrackedRun
from nas.tracking.wandb import Options as WandbOptions
from nas.tracking.wandb import _mode as wandb_mode
from search_spaces.errors import UserError
from tests.nas_tests.test_faults import small_disk

CALLS = ("start", "log", "table", "figure", "artifact", "finish")


@dataclass(frozen=True)
class Options:
    colour: str = "red"


class Recorder:
    """A tracker that notes what it is told, and raises in one of its methods."""

    label, summary, options, keeps = "recorder", "for tests", Options, True

    def __init__(self, name: str = "recorder", fails_in: str = "", error: BaseException = OSError):
        self.name, self.fails_in, self.error = name, fails_in, error
        self.said: list[tuple[Any, ...]] = []

    def __getattr__(self, call: str) -> Any:
        if call not in CALLS[1:]:
            raise AttributeError(call)
        return lambda *given: self._note(call, *given)

    def start(self, run: TrackedRun, options: Options) -> Recorder:
        self._note("start", run, options)
        return self

    def _note(self, call: str, *given: Any) -> None:
        self.said.append((call, *given))
        if call == self.fails_in:
            raise self.error

    def calls(self, call: str) -> list[tuple[Any, ...]]:
        return [said[1:] for said in self.said if said[0] == call]


@pytest.fixture
def registered(monkeypatch):
    """``registered(tracker)``: it can be chosen, in this test."""

    def register(tracker: Recorder) -> Recorder:
        TRACKERS.names()
        monkeypatch.setitem(TRACKERS._members, tracker.name, tracker)
        return tracker

    return register


class Job:
    """A finished run again, with a tracker."""

    def __init__(self, folder: Path, tracker: str, **options: object) -> None:
        self.config = load_config(folder / "config.yaml")
        self.config.tracking.name, self.config.tracking.options = tracker, options
        self.folder = RunFolder(folder)
        self.printed = io.StringIO()
        self.display = Display(False, Console(file=self.printed, width=80, soft_wrap=True))

    def track(self) -> list[str]:
        """As the pipeline does on a run that is finished already; what was printed."""
        tracking = Tracking(self.config, self.display)
        job = SimpleNamespace(config=self.config, folder=self.folder)
        with tracking.training(job):
            pass
        with tracking.searching(job) as session:
            publish(session, self.folder)
        return self.printed.getvalue().splitlines()


@pytest.fixture
def copied(finished, copy_of):
    """The finished run; without what its own tracking wrote."""
    folder = copy_of(finished)
    for name in ("search.csv", "front.csv"):
        (folder / name).unlink()
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# -- files, always ----------------------------------------------------------------------------


def test_search_csv_is_the_journal_as_a_table(finished):
    trials = read_study(finished / "study.journal").trials
    found = rows(finished / "search.csv")
    assert [int(row["trial"]) for row in found] == [trial.number for trial in trials]
    for row, trial in zip(found, trials, strict=True):
        assert {name: float(row[name]) for name in trial.metrics} == dict(trial.metrics)
        assert (row["digest"], row["state"]) == (trial.digest, trial.state)
        assert float(row["hypervolume"]) == trial.hypervolume


def test_front_csv_is_the_verified_front_with_its_architectures(finished):
    front, found = Front.load(finished / "front.json"), rows(finished / "front.csv")
    assert [row["digest"] for row in found] == [member.digest for member in front.members]
    assert [row["digest"] for row in found if row["winner"] == "True"] == [front.winner]
    for row, member in zip(found, front.members, strict=True):
        assert json.loads(row["architecture"]) == member.architecture.to_dict()
        assert float(row["accuracy"]) == member.value("accuracy")


def test_a_run_of_before_gets_its_tables(finished, copied):
    assert Job(copied, "none").track() == []
    for name in ("search.csv", "front.csv"):
        assert (copied / name).read_bytes() == (finished / name).read_bytes()
    assert not (copied / "tracking").exists()


def test_a_new_column_widens_the_table_and_a_row_stays_a_line(tmp_path):
    run = TrackedRun(
        kind="search",
        title="r",
        id="",
        part="search",
        folder=tmp_path,
        place=tmp_path / "tracking",
        step="trial",
        first=0,
        config={},
    )
    tracker = FileTracker(run)
    tracker.log(0, {"accuracy": 0.5})
    tracker.log(1, {"accuracy": None, "reason": "it died:\nkilled, twice"})
    tracker.finish("finished")
    assert (tmp_path / "search.csv").read_text() == (
        'trial,accuracy,reason\n0,0.5\n1,,"it died: killed, twice"\n'
    )


# -- told once --------------------------------------------------------------------------------


def test_a_tracker_is_told_everything_once(copied, registered):
    recorder = registered(Recorder())
    study = read_study(copied / "study.journal")
    Job(copied, "recorder").track()
    runs = [run for run, _ in recorder.calls("start")]
    assert [(run.kind, run.step, run.first) for run in runs] == [
        ("training", "epoch", 0),
        ("search", "trial", 0),
    ]
    epochs, trials = recorder.calls("log")[:2], recorder.calls("log")[2:]
    assert [step for step, _ in epochs] == [1, 2]
    assert all(values["student_loss"] > 0 for _, values in epochs)
    assert [step for step, _ in trials] == list(range(len(study.trials)))
    assert trials[-1][1]["hypervolume"] == study.trials[-1].hypervolume
    assert [name for name, _ in recorder.calls("figure")] == ["front", "hypervolume", "winner"]
    assert [name for name, _ in recorder.calls("table")] == ["front"]
    ((name, kind, files),) = recorder.calls("artifact")
    assert (name, kind) == ("tiny-best", "architecture")
    assert [file.name for file in files] == ["best.json", "best.safetensors"]
    assert recorder.calls("finish") == [("finished",), ("finished",)]

    again = registered(Recorder())
    assert Job(copied, "recorder").track() == []
    assert again.said == []


def test_a_longer_search_goes_on_with_the_same_run(copied, registered):
    first = registered(Recorder())
    Job(copied, "recorder").track()
    mark = copied / "tracking" / "recorder.search.json"
    mark.write_text(json.dumps({**json.loads(mark.read_text()), "steps": 10, "results": "older"}))
    second = registered(Recorder())
    Job(copied, "recorder").track()
    ((run, _),) = second.calls("start")
    assert run.id == first.calls("start")[1][0].id
    assert run.first == 10
    assert [step for step, _ in second.calls("log")] == list(range(10, 16))
    assert len(second.calls("table")) == 1


def test_another_run_of_the_same_path_is_another_run(copied, registered):
    ids = []
    for _ in range(2):
        recorder = registered(Recorder())
        Job(copied, "recorder").track()
        ids += [run.id for run, _ in recorder.calls("start")]
        shutil.rmtree(copied / "tracking")
    assert len(set(ids)) == 4


def test_a_damaged_mark_begins_again(copied, registered):
    (copied / "tracking").mkdir()
    (copied / "tracking" / "recorder.search.json").write_text('{"id": ')
    recorder = registered(Recorder())
    assert Job(copied, "recorder").track() == []
    assert len(recorder.calls("log")) == 18


def test_an_interrupted_search_is_told_so(copied, registered):
    recorder, job = registered(Recorder()), Job(copied, "recorder")
    trial = read_study(copied / "study.journal").trials[3]
    tracking = Tracking(job.config, job.display)

    def search() -> None:
        with tracking.searching(job) as session:
            session.trial(trial)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search()
    assert [step for step, _ in recorder.calls("log")] == [0, 1, 2, 3]
    assert recorder.calls("finish") == [("interrupted",)]


# -- never in the way -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error"), [*((call, OSError(5, "lost")) for call in CALLS), ("log", SystemExit(1))]
)
def test_a_tracker_that_fails_costs_one_line(call, error, copied, registered):
    registered(Recorder(fails_in=call, error=error))
    (line,) = Job(copied, "recorder").track()
    assert line.startswith(f"  tracking: recorder is off from here: {type(error).__name__}: ")
    assert rows(copied / "search.csv")
    assert rows(copied / "front.csv")


def test_ctrl_c_inside_a_tracker_is_a_ctrl_c(copied, registered):
    registered(Recorder(fails_in="log", error=KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        Job(copied, "recorder").track()


def test_a_failed_tracker_is_told_the_rest_later(copied, registered):
    registered(Recorder(fails_in="figure"))
    Job(copied, "recorder").track()
    later = registered(Recorder())
    assert Job(copied, "recorder").track() == []
    assert later.calls("log") == []
    assert len(later.calls("figure")) == 3


def test_a_full_disk_for_tracking_only_is_one_line(copied, registered):
    registered(Recorder())
    with small_disk(copied / "tracking", kib=4):
        (copied / "tracking" / "ballast").write_bytes(bytes(4096))
        (line,) = Job(copied, "recorder").track()
    assert "No space left on device" in line
    assert rows(copied / "front.csv")


def test_a_table_that_cannot_be_written_is_one_line(copied):
    (copied / "search.csv").mkdir()
    (line,) = Job(copied, "none").track()
    assert line.startswith("  tracking: none is off from here: IsADirectoryError: ")


def test_secrets_are_neither_said_nor_sent(copied, registered, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    said: list[str] = []
    guard = Guard("wandb", said.append)
    with guard():
        raise ValueError("the key 0123456789abcdef\nat http://me:hunter22@host is refused")
    assert said == [
        "tracking: wandb is off from here: ValueError: the key *** at http://me:***@host is refused"
    ]
    assert "0123456789" not in reason(OSError("0123456789abcdef"))
    recorder, job = registered(Recorder()), Job(copied, "recorder")
    job.config.search.mirror = "postgresql://me:hunter22@host/studies"
    job.track()
    sent = json.dumps([run.config for run, _ in recorder.calls("start")])
    assert "hunter22" not in sent
    assert "postgresql://me:***@host" in sent


# -- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["tracking=wandbb"], ["tracking='wandbb'", "did you mean 'wandb'", "mlflow, none"]),
        (["tracking.name=tensorbord"], ["tracking.name=", "did you mean 'tensorboard'"]),
        (["tracking=wandb", "tracking.options.projet=x"], ["projet", "did you mean", "project"]),
        (["tracking=wandb", "tracking.options.mode=on"], ["tracking.options.mode='on'", "offline"]),
        (["tracking=wandb", "tracking.options.project=3"], ["tracking.options.project=3", "str"]),
    ],
)
def test_a_wrong_tracker_is_one_line_and_writes_nothing(words, named, refusal, tmp_path):
    line = refusal("run", f"out_dir={tmp_path}", "name=x", *words)
    assert [part for part in named if part not in line] == [], line
    assert list(tmp_path.iterdir()) == []


def test_options_of_another_tracker_are_refused(copied, registered):
    registered(Recorder())
    with pytest.raises(UserError, match=r"tracking\.options='color' is unknown; did you mean"):
        Tracking(Job(copied, "recorder", color="blue").config, Display(False))


# -- Weights & Biases: without its package ----------------------------------------------------


@pytest.mark.parametrize(
    ("options", "variables", "netrc", "mode"),
    [
        ({}, {}, "", "offline"),
        ({}, {"WANDB_API_KEY": "k"}, "", "online"),
        ({}, {}, "machine api.wandb.ai login user password k\n", "online"),
        ({}, {}, "machine elsewhere.org login user password k\n", "offline"),
        ({}, {"WANDB_BASE_URL": "https://w.org"}, "machine w.org login u password k\n", "online"),
        ({}, {}, "no netrc at all {", "offline"),
        ({}, {"WANDB_API_KEY": "k", "WANDB_MODE": "offline"}, "", "offline"),
        ({"mode": "online"}, {"WANDB_API_KEY": "k", "WANDB_MODE": "offline"}, "", "online"),
        ({"mode": "online"}, {}, "", "offline"),
        ({"mode": "offline"}, {"WANDB_API_KEY": "k"}, "", "offline"),
    ],
)
def test_wandb_is_online_only_with_a_key(options, variables, netrc, mode, tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text(netrc)
    (tmp_path / ".netrc").chmod(0o600)
    assert wandb_mode(replace(WandbOptions(), **options)) == mode
