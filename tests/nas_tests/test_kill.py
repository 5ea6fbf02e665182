"""Kill, Ctrl-C and go on: the real process ends with the weights of one that was never stopped.

A plug-in of the process under test tells its place through a pipe and then waits for the signal;
nothing here sleeps or guesses.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nas.cli import main
from supernet.training.checkpoint import load_checkpoint, weights_hash
from supernet.training.loop import Trainer
from tests.nas_tests.tiny_run import command, lines, results, trials

SEED = int(os.environ.get("FORMFINDER_KILL_SEED", random.SystemRandom().randrange(10**6)))
ROOT = Path(__file__).resolve().parents[2]
ENTRY = [sys.executable, "-P", "-c", "import sys; from nas.cli import main; sys.exit(main())"]
EPOCHS, STEPS = 3, 4  # 1,079 images in batches of 256

PLUGIN = '''
"""Stops the process at a place and waits for a signal."""

import os

PLACE, NUMBER = os.environ["STOP_PLACE"], int(os.environ["STOP_NUMBER"])


def wait():
    here, go = map(int, os.environ["STOP_PIPES"].split())
    os.write(here, b"here")
    os.read(go, 1)  # ends where the signal kills, raises, or has been taken note of


if PLACE == "step":
    from supernet.training import loop

    step = loop.Trainer._step

    def stopping(self, number, *arguments):
        step(self, number, *arguments)
        if number == NUMBER:
            wait()

    loop.Trainer._step = stopping

if PLACE == "save":
    from supernet.training import checkpoint

    sync, saved = os.fsync, []

    def stopping_sync(descriptor):
        sync(descriptor)
        saved.append(descriptor)
        if len(saved) == NUMBER:  # the new file is written, the old one not yet replaced
            wait()

    checkpoint.os.fsync = stopping_sync

if PLACE == "trial":
    from nas.evaluator import SupernetEvaluator

    evaluate, done = SupernetEvaluator.evaluate, []

    def stopping_evaluate(self, architecture):
        values = evaluate(self, architecture)
        done.append(values)
        if len(done) == NUMBER:
            wait()
        return values

    SupernetEvaluator.evaluate = stopping_evaluate
'''


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "stop.py").write_text(PLUGIN)
    return folder


def stopped(words: list[str], plugins: Path, place: str, number: int, how: int, cwd: Path):
    """Run a command in a process of its own and signal it at a place; (exit code, stderr)."""
    ours, here = os.pipe()
    go, done = os.pipe()
    environment = {
        **os.environ,
        "FORMFINDER_PLUGINS": str(plugins),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "STOP_PLACE": place,
        "STOP_NUMBER": str(number),
        "STOP_PIPES": f"{here} {go}",
    }
    process = subprocess.Popen(
        [*ENTRY, *words],
        env=environment,
        cwd=cwd,
        pass_fds=[here, go],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(here)
    os.close(go)
    with os.fdopen(ours, "rb") as pipe:
        arrived = pipe.read(4)  # empty where the process ended before its place
        if arrived:
            process.send_signal(how)
        os.close(done)
        _, errors = process.communicate(timeout=300)
    assert arrived == b"here", errors
    return process.returncode, errors


def train_words(folder: Path) -> list[str]:
    words = command(folder, f"training.epochs={EPOCHS}", "training.batch_size=256")
    return ["train", *words[1:]]


def state(folder: Path) -> str:
    """Hash of everything in a checkpoint: weights, averages, optimiser."""
    return weights_hash(load_checkpoint(folder / "supernet.safetensors").tensors)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A training that nothing stopped."""
    folder = tmp_path_factory.mktemp("runs") / "straight"
    assert main(train_words(folder)) == 0
    return folder


def killed(folder, plugins, draw, cwd):
    """Train and kill -9 in a step of the first two epochs; how many epochs were finished."""
    step = draw.randrange(2 * STEPS)  # perhaps before there is any checkpoint
    code, _ = stopped(train_words(folder), plugins, "step", step, signal.SIGKILL, cwd)
    assert code == -signal.SIGKILL
    assert (folder / "supernet.safetensors").exists() == (step >= STEPS)
    return step // STEPS


def same_as(straight, folder):
    """Whether both folders hold the same training, to the last bit."""
    assert state(folder) == state(straight)
    assert [line["epoch"] for line in lines(folder / "training.jsonl")] == [1, 2, 3]
    return {path.name for path in folder.iterdir()} == {path.name for path in straight.iterdir()}


@pytest.mark.slow
def test_training_that_was_killed_ends_alike(tmp_path, straight, plugins):
    sys.stdout.write(f"FORMFINDER_KILL_SEED={SEED}\n")
    folder = tmp_path / "runs" / "killed"
    killed(folder, plugins, random.Random(SEED), tmp_path)
    assert main(train_words(folder)) == 0
    assert same_as(straight, folder)


def test_ctrl_c_says_how_to_go_on_and_ends_alike(tmp_path, straight, monkeypatch, capsys):
    folder = tmp_path / "runs" / "stopped"
    step = Trainer._step

    def interrupting(self, number, *arguments):
        step(self, number, *arguments)
        if number == STEPS + 1:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", interrupting)
        assert main(train_words(folder)) == 130
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert errors.startswith("formfinder: stopped; the same command continues: formfinder train ")
    assert main(train_words(folder)) == 0
    assert same_as(straight, folder)


@pytest.mark.slow
def test_training_that_was_killed_and_then_interrupted_ends_alike(tmp_path, straight, plugins):
    sys.stdout.write(f"FORMFINDER_KILL_SEED={SEED}\n")
    draw = random.Random(SEED)
    folder = tmp_path / "runs" / "killed"
    begun = killed(folder, plugins, draw, tmp_path)
    last = draw.randrange(begun * STEPS, EPOCHS * STEPS)
    code, errors = stopped(train_words(folder), plugins, "step", last, signal.SIGINT, tmp_path)
    assert code == 130
    assert errors.count("\n") == 1
    assert errors.startswith("formfinder: stopped; the same command continues: formfinder train ")
    assert main(train_words(folder)) == 0
    assert same_as(straight, folder)


@pytest.mark.slow
def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path, straight, plugins):
    folder = tmp_path / "runs" / "killed"
    words = train_words(folder)
    code, _ = stopped(words, plugins, "save", 2, signal.SIGKILL, tmp_path)
    assert code == -signal.SIGKILL
    assert load_checkpoint(folder / "supernet.safetensors").data["epoch"] == 1
    assert main(words) == 0
    assert same_as(straight, folder)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_search_that_was_stopped_finds_the_same(finished, copy_of, tmp_path, plugins, how):
    sys.stdout.write(f"FORMFINDER_KILL_SEED={SEED}\n")
    straight = copy_of(finished)
    folder = Path(straight.parent / "stopped")
    for name in ("study.journal", "evaluations.jsonl", "front.json", "best.json"):
        (straight / name).unlink()
    shutil.copytree(straight, folder)
    assert main(["run", str(straight)]) == 0
    number = random.Random(SEED).randrange(1, 8)
    code, _ = stopped(["run", str(folder)], plugins, "trial", number, how, tmp_path)
    assert code == (-signal.SIGKILL if how == signal.SIGKILL else 130)
    assert trials(folder) < 16
    assert main(["run", str(folder)]) == 0
    values = {
        run: [(row["architecture"], row["value"]) for row in lines(run / "evaluations.jsonl")]
        for run in (straight, folder)
    }
    assert sorted(values[straight]) == sorted(values[folder])
    assert trials(folder) == 16
    assert results(folder).keys() == results(straight).keys()
