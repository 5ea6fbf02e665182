"""Kill -9 at drawn steps of train and retrain: the weights of a training that nothing stopped."""

from __future__ import annotations

import random
import shutil
import signal
import sys
from pathlib import Path

import pytest

from nas.cli import main
from nas.retraining.state import FORMAT
from nas.run_folder import read_json
from supernet.training.checkpoint import load_checkpoint, weights_hash
from tests.nas_tests.test_kill import EPOCHS, PLUGIN, SEED, STEPS, state, stopped, train_words

KILLS = 5  # of each of the two
RETRAIN_STEPS = STEPS  # the same images in batches of the same size

STOP_RETRAIN = """
if PLACE == "retrain":
    from nas.retraining import trainer

    alone = trainer.AloneTrainer.step

    def stopping_alone(self, number, *arguments):
        alone(self, number, *arguments)
        if number == NUMBER:
            wait()

    trainer.AloneTrainer.step = stopping_alone
"""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "stop.py").write_text(PLUGIN + STOP_RETRAIN)
    return folder


def retrain_words(folder: Path) -> list[str]:
    options = [f"retrain.epochs={EPOCHS}", "retrain.batch_size=256", "retrain.weights=scratch"]
    return ["retrain", str(folder), *options, "progress=false"]


def retrained(folder: Path) -> Path:
    [found] = (folder / "retrained").iterdir()
    return found


def places(draw: random.Random, steps: int) -> list[int]:
    """Steps to be killed at, in order: a later start can only reach what is not behind it."""
    return sorted(draw.choices(range(steps), k=KILLS))


@pytest.mark.slow
def test_a_training_killed_five_times_ends_alike(tmp_path, plugins):
    steps = places(random.Random(SEED), EPOCHS * STEPS)
    sys.stdout.write(f"FORMFINDER_KILL_SEED={SEED} steps {steps}\n")
    straight, killed = tmp_path / "runs" / "straight", tmp_path / "runs" / "killed"
    assert main(train_words(straight)) == 0
    for step in steps:
        words = train_words(killed)
        code, _ = stopped(words, plugins, "step", step, signal.SIGKILL, tmp_path)
        assert code == -signal.SIGKILL
    assert main(train_words(killed)) == 0
    assert state(killed) == state(straight)


@pytest.mark.slow
def test_a_retraining_killed_five_times_ends_alike(tmp_path, finished, plugins):
    steps = places(random.Random(SEED + 1), EPOCHS * RETRAIN_STEPS)
    sys.stdout.write(f"FORMFINDER_KILL_SEED={SEED} steps {steps}\n")
    straight = Path(shutil.copytree(finished, tmp_path / "straight"))
    killed = Path(shutil.copytree(finished, tmp_path / "killed"))
    assert main(retrain_words(straight)) == 0
    for step in steps:
        words = retrain_words(killed)
        code, _ = stopped(words, plugins, "retrain", step, signal.SIGKILL, tmp_path)
        assert code == -signal.SIGKILL
        if step >= RETRAIN_STEPS:
            checkpoint = load_checkpoint(retrained(killed) / "checkpoint.safetensors", FORMAT)
            assert checkpoint.data["epoch"] == step // RETRAIN_STEPS
        assert not list((killed / "retrained").glob("*/best.json"))  # nothing half-written
    assert main(retrain_words(killed)) == 0
    first, second = (
        load_checkpoint(retrained(folder) / "checkpoint.safetensors", FORMAT)
        for folder in (straight, killed)
    )
    assert weights_hash(second.tensors) == weights_hash(first.tensors)
    assert second.data == first.data
    bests = [read_json(retrained(folder) / "best.json") for folder in (straight, killed)]
    assert bests[0]["weights"] == bests[1]["weights"]
    assert bests[0]["passes"] == bests[1]["passes"]
