"""Kills at any line and disks that fill up: every finished trial is kept exactly once."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend, JournalStorage

import nas
from nas.study import read_study
from search_spaces.errors import UserError
from tests.nas_tests.test_study_resume import essence, run
from tests.nas_tests.tiny_run import lines

SEED = int(os.environ.get("FORMFINDER_KILL_SEED", random.SystemRandom().randrange(10**6)))
KILLS, TRIALS = 20, 150
OURS = str(Path(nas.__file__).parent)


def check(folder: Path, undisturbed: Path, trials: int) -> None:
    """The same trials as in an undisturbed study, each once, all finished, nothing paid twice."""
    found = [essence(trial) for trial in read_study(folder / "study.log").trials]
    assert found == [essence(trial) for trial in read_study(undisturbed / "study.log").trials]
    assert len(found) == trials
    storage = JournalStorage(JournalFileBackend(str(folder / "study.log")))
    loaded = optuna.load_study(study_name=None, storage=storage)
    assert [trial.number for trial in loaded.trials] == list(range(trials))
    assert all(trial.state.is_finished() for trial in loaded.trials)
    keys, wanted = (
        [row["architecture"] for row in lines(place / "evaluations.jsonl")]
        for place in (folder, undisturbed)
    )
    assert len(set(keys)) == len(keys)
    assert sorted(keys) == sorted(wanted)


# -- kill -9 ----------------------------------------------------------------------------------


class Lines:
    """Counts the lines of ours that are executed, and kills this process at one of them."""

    def __init__(self, last: int | None = None) -> None:
        self.count = 0
        self._last = last

    def __enter__(self) -> Lines:
        sys.settrace(self._on_call)
        return self

    def __exit__(self, *exc: object) -> None:
        sys.settrace(None)

    def _on_call(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self._on_line if frame.f_code.co_filename.startswith(OURS) else None

    def _on_line(self, frame: FrameType, event: str, argument: Any) -> Any:
        self.count += 1
        if self.count == self._last:
            os.kill(os.getpid(), signal.SIGKILL)
        return self._on_line


def lives(folder: Path, sampler: str, seed: int) -> None:
    """Begin a study again and again, in processes that are killed; then let it end."""
    undisturbed, disturbed = folder / "undisturbed", folder / "disturbed"
    with Lines() as counted:
        run(undisturbed, sampler, TRIALS)
    draw = random.Random(seed)
    for _ in range(KILLS):
        # So early that the study cannot end before the last kill.
        moment = draw.randrange(1, counted.count // (KILLS + 2))
        child = os.fork()
        if child == 0:
            with Lines(moment):
                run(disturbed, sampler, TRIALS)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "it ended before it was killed"
        assert os.WTERMSIG(status) == signal.SIGKILL
    before = read_study(disturbed / "study.log").trials
    assert 0 < len(before) < TRIALS
    run(disturbed, sampler, TRIALS)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "random"])
def test_killed_at_twenty_random_lines_a_study_ends_like_an_undisturbed_one(
    sampler: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    sys.stdout.write(f"FORMFINDER_KILL_SEED={SEED}\n")
    code = (
        "import sys; from pathlib import Path; from tests.nas_tests.test_faults import lives; "
        "lives(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path), sampler, str(SEED)]
    # A process of its own: one that has started threads must not fork.
    subprocess.run(command, cwd=request.config.rootpath, check=True)
    check(tmp_path / "disturbed", tmp_path / "undisturbed", TRIALS)


# -- full disks -------------------------------------------------------------------------------


@contextmanager
def small_disk(path: Path, kib: int) -> Iterator[None]:
    """A file system of so many KiB at ``path``."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_line_and_nothing_is_lost(tmp_path: Path) -> None:
    undisturbed, disk = tmp_path / "undisturbed", tmp_path / "disk"
    run(undisturbed, "random", 40)
    with small_disk(disk, kib=256):
        folder, ballast = disk / "run", disk / "ballast"
        folder.mkdir()
        finished = 0
        for free in (4_096, 12_288, 28_672, 61_440):
            ballast.write_bytes(bytes(os.statvfs(disk).f_bavail * 4096 - free))
            with pytest.raises(UserError, match=os.strerror(errno.ENOSPC)) as refusal:
                run(folder, "random", 40)
            assert "\n" not in str(refusal.value)
            trials = read_study(folder / "study.log").trials
            assert finished <= len(trials) < 40
            finished = len(trials)
            ballast.unlink()
        assert finished > 0
        run(folder, "random", 40)
        check(folder, undisturbed, 40)


@pytest.mark.parametrize("name", ["study.log", "evaluations.jsonl"])
def test_a_file_that_may_not_grow_is_cut_back_to_whole_records(name: str, tmp_path: Path) -> None:
    undisturbed, folder = tmp_path / "undisturbed", tmp_path / "limited"
    run(undisturbed, "random", 20)
    sizes = [(undisturbed / name).stat().st_size * i // 8 for i in range(1, 8)]
    for size in sizes:
        with small_files(size), pytest.raises(UserError, match=r"cannot be written: "):
            run(folder, "random", 20)
        for path in folder.iterdir():
            assert path.read_bytes()[-1:] in (b"", b"\n")
    run(folder, "random", 20)
    check(folder, undisturbed, 20)
