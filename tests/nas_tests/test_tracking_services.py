"""Real Weights & Biases, TensorBoard and MLflow, called by a real command at a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from nas.study.reading import read_study
from tests.nas_tests.test_faults import small_disk

KEY = "5ecre7" + 34 * "a"
START = "import sys; from nas.cli import main; sys.exit(main())"
pytestmark = pytest.mark.slow


@pytest.fixture
def call(tmp_path) -> Callable[..., tuple[str, list[Path]]]:
    """``call(RUN, word, …, variable=value)``: ``formfinder run RUN word …`` at a terminal.

    What it printed, and the folders of W&B's runs. It must end well, by itself, and leave no
    process of W&B's; nobody answers if it asks.
    """

    def run(folder: Path, *words: str, **variables: str) -> tuple[str, list[Path]]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "MLFLOW_"))}
        (tmp_path / "home").mkdir(exist_ok=True)
        environment = {**kept, "HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1", **variables}
        master, terminal = os.openpty()
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", START, "run", str(folder), *words],
                stdin=terminal,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
            )
            said, _ = process.communicate(timeout=300)
        finally:
            os.close(master)
            os.close(terminal)
        assert process.returncode == 0, said
        assert services(process.pid) == []
        return said, sorted((folder / "tracking").glob("wandb/*run-*"))

    return run


def services(pid: int) -> list[list[str]]:
    """W&B's processes that serve the process ``pid``."""
    found = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        if line and "wandb-core" in line[0] and str(pid) in line:
            found.append(line)
    return found


def tracking_lines(said: str) -> list[str]:
    return [line.strip() for line in said.splitlines() if line.strip().startswith("tracking: ")]


# -- Weights & Biases -------------------------------------------------------------------------


def test_wandb_without_an_account_is_offline_and_complete(finished, copy_of, call):
    folder = copy_of(finished)
    said, runs = call(folder, "tracking=wandb")
    lines = tracking_lines(said)
    assert [line.startswith("tracking: wandb: wandb sync ") for line in lines] == [True, True]
    assert sorted(Path(line.split()[-1]) for line in lines) == runs
    found = {"training": b"", "search": b""}
    for run in runs:
        (stored,) = run.glob("*.wandb")
        part = "search" if b"hypervolume" in stored.read_bytes() else "training"
        found[part] = stored.read_bytes()
    assert b"student_loss" in found["training"]
    digest = read_study(folder / "study.journal").trials[-1].digest
    assert digest.encode() in found["search"]
    assert b"best.safetensors" in found["search"]
    (search,) = [run for run in runs if list(run.glob("files/media/table/front_*.json"))]
    assert len(list(search.glob("files/media/plotly/figures/*.json"))) == 3

    again, same = call(folder, "tracking=wandb")
    assert tracking_lines(again) == []
    assert same == runs

    longer, more = call(folder, "tracking=wandb", "search.trials=24")
    assert len(tracking_lines(longer)) == 1
    (new,) = set(more) - set(runs)
    assert new.name.split("-")[-1] == search.name.split("-")[-1]
    assert len(read_study(folder / "study.journal").trials) == 24


def test_a_key_without_network_ends_offline_and_the_key_is_nowhere(finished, copy_of, call):
    folder = copy_of(finished)
    server = "http://127.0.0.1:9"
    said, runs = call(folder, "tracking=wandb", WANDB_API_KEY=KEY, WANDB_BASE_URL=server)
    assert all("cannot go online" in line for line in tracking_lines(said))
    assert [run.name[:7] for run in runs if run.name.startswith("offline")] == 2 * ["offline"]
    assert KEY not in said
    for path in folder.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


def test_a_home_that_is_read_only_is_no_obstacle(finished, copy_of, call, tmp_path):
    folder, home = copy_of(finished), tmp_path / "sealed"
    with small_disk(home, kib=64):
        if subprocess.run(["mount", "-o", "remount,ro", str(home)], check=False).returncode:
            pytest.skip("mounting read-only is not allowed here")
        said, runs = call(folder, "tracking=wandb", HOME=str(home))
    assert len(runs) == 2
    assert all("wandb sync" in line for line in tracking_lines(said))


@pytest.mark.parametrize("kib", [4, 64])
def test_a_full_disk_for_wandb_only_ends_well(kib, finished, copy_of, call):
    folder = copy_of(finished)
    with small_disk(folder / "tracking", kib=kib):
        said, _ = call(folder, "tracking=wandb", "search.trials=24")
    assert len(read_study(folder / "study.journal").trials) == 24
    assert len(tracking_lines(said)) <= 2
    assert "Traceback" not in said


# -- TensorBoard ------------------------------------------------------------------------------


def test_tensorboard_reads_every_trial_once(finished, copy_of, call):
    pytest.importorskip("tensorboard")
    folder = copy_of(finished)
    said, _ = call(folder, "tracking=tensorboard")
    root = folder / "tracking" / "tensorboard"
    assert tracking_lines(said) == 2 * [f"tracking: tensorboard --logdir {root}"]
    call(folder, "tracking=tensorboard", "search.trials=24")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its own protocol buffers
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        read = {part: EventAccumulator(str(root / part)) for part in ("training", "search")}
        for part in read.values():
            part.Reload()
    trials = read_study(folder / "study.journal").trials
    curve = [(event.step, event.value) for event in read["search"].Scalars("hypervolume")]
    assert [step for step, _ in curve] == [trial.number for trial in trials]
    assert [value for _, value in curve] == pytest.approx([t.hypervolume for t in trials])
    assert [event.step for event in read["training"].Scalars("student_loss")] == [1, 2]


# -- MLflow -----------------------------------------------------------------------------------


def test_mlflow_holds_a_run_for_training_and_one_for_the_search(finished, copy_of, call):
    pytest.importorskip("mlflow")
    folder = copy_of(finished)
    call(folder, "tracking=mlflow")
    said, _ = call(folder, "tracking=mlflow", "search.trials=24")
    database = f"sqlite:///{(folder / 'tracking' / 'mlflow.db').resolve()}"
    assert tracking_lines(said) == [f"tracking: mlflow: {database}"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its database layer's, about itself
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=database)
        experiment = client.get_experiment_by_name("formfinder").experiment_id
        runs = {run.data.tags["kind"]: run for run in client.search_runs([experiment])}
        assert sorted(runs) == ["search", "training"]
        assert {run.info.status for run in runs.values()} == {"FINISHED"}
        search = runs["search"].info.run_id
        points = client.get_metric_history(search, "hypervolume")
        files = {file.path for file in client.list_artifacts(search)}
    assert sorted(point.step for point in points) == list(range(24))
    assert files == {"architecture", "config.json", "figures", "front.csv"}


def test_a_missing_package_or_server_is_one_line(finished, copy_of, call):
    pytest.importorskip("mlflow")
    folder = copy_of(finished)
    uri = "http://me:hunter22@127.0.0.1:9"
    said, _ = call(folder, "tracking=mlflow", f"tracking.options.uri={uri}")
    (line,) = tracking_lines(said)
    assert line.startswith("tracking: mlflow is off from here: ")
    assert "hunter22" not in said
    for path in folder.rglob("*"):
        if path.is_file():
            assert b"hunter22" not in path.read_bytes(), path
