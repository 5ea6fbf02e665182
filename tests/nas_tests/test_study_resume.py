"""Killed anywhere, a study goes on as if nothing had happened."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from nas.evaluation import EvaluationStore
from nas.executors.in_process import InProcess
from nas.objectives import OBJECTIVES, Limit
from nas.study import Budget, FinishedTrial, StudySpec, read_study, run_study
from tests.nas_tests.study_toy import ToyFactory, ToyProblem, architecture

TRIALS, BATCH = 60, 5
OPTIONS = {
    "nsga2": {"population_size": 8},
    "tpe": {"n_startup_trials": 10, "n_ei_candidates": 4},
    "random": {},
    "guided": {"n_startup": 10, "population": 20, "generations": 2},
}
EVERY_CUT = [pytest.param(sampler, 1, marks=pytest.mark.slow) for sampler in OPTIONS]

FACTORY = ToyFactory(raises=frozenset({architecture(16, (1,), ("softmax",)).digest()}))


def spec_of(sampler: str) -> StudySpec:
    return StudySpec(
        objectives=(OBJECTIVES["accuracy"], OBJECTIVES["latency_ms"]),
        limits=(Limit(OBJECTIVES["latency_ms"], 1.2), Limit(OBJECTIVES["accuracy"], 0.3)),
        sampler=sampler,
        sampler_options=OPTIONS[sampler],
        seed=3,
        batch_size=BATCH,
    )


def run(folder: Path, sampler: str, trials: int = TRIALS, factory: ToyFactory = FACTORY) -> None:
    run_study(
        ToyProblem(),
        spec_of(sampler),
        executor=lambda: InProcess(factory),
        store=EvaluationStore(folder / "evaluations.jsonl"),
        journal=folder / "study.log",
        budget=Budget(trials=trials),
    )


def essence(trial: FinishedTrial) -> tuple[object, ...]:
    """All that must be equal in an undisturbed run: everything but times and who paid."""
    return trial.digest, trial.state, trial.values, trial.violations, trial.paid, trial.hypervolume


@cache
def undisturbed(sampler: str, root: Path) -> tuple[bytes, bytes, list[tuple[object, ...]]]:
    folder = root / sampler
    run(folder, sampler)
    trials = [essence(trial) for trial in read_study(folder / "study.log").trials]
    journal = (folder / "study.log").read_bytes()
    return journal, (folder / "evaluations.jsonl").read_bytes(), trials


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("undisturbed")


def cuts(journal: bytes, batch_records: int) -> list[int]:
    """Every record boundary, and a place inside of every third record."""
    ends = [0, *itertools.accumulate(len(line) for line in journal.splitlines(keepends=True))]
    inside = [(a + b) // 2 for a, b in list(itertools.pairwise(ends))[::batch_records]]
    return sorted({*ends, *inside, ends[1] - 1, ends[-1] - 1})


@pytest.mark.parametrize(("sampler", "every"), [("nsga2", 4), *EVERY_CUT])
def test_cut_at_every_record_and_within_records_a_study_continues_identically(
    sampler: str, every: int, root: Path, tmp_path: Path
) -> None:
    journal, evaluations, wanted = undisturbed(sampler, root)
    assert len({digest for digest, *_ in wanted}) > 20
    # Beyond the batch after next a study is a function of what has been compared before it, so
    # only some cuts are followed to the end.
    for index, cut in list(enumerate(cuts(journal, batch_records=3)))[::every]:
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / "study.log").write_bytes(journal[:cut])
        (folder / "evaluations.jsonl").write_bytes(evaluations)
        finished = journal[:cut].count(b'"op_code":4')
        ahead = (finished // BATCH + 2) * BATCH
        trials = TRIALS if index % 10 == 0 else min(TRIALS, ahead)
        run(folder, sampler, trials)
        found = [essence(trial) for trial in read_study(folder / "study.log").trials]
        assert found == wanted[:trials], f"cut at byte {cut}"


def test_nothing_is_recorded_twice_and_whole_records_are_never_touched(
    root: Path, tmp_path: Path
) -> None:
    journal, evaluations, _ = undisturbed("nsga2", root)
    for cut in cuts(journal, batch_records=10)[5::9]:
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / "study.log").write_bytes(journal[:cut])
        (folder / "evaluations.jsonl").write_bytes(evaluations)
        kept = journal[: journal[:cut].rfind(b"\n") + 1]
        run(folder, "nsga2")
        resumed = (folder / "study.log").read_bytes()
        assert resumed.startswith(kept)
        assert resumed.count(b'"op_code":4') == TRIALS
        assert resumed.count(b"parent_cache") == journal.count(b"parent_cache") or cut == 0


def test_what_was_paid_for_is_not_paid_for_again(root: Path, tmp_path: Path) -> None:
    journal, evaluations, _ = undisturbed("nsga2", root)
    (tmp_path / "study.log").write_bytes(journal[: len(journal) // 2])
    (tmp_path / "evaluations.jsonl").write_bytes(evaluations)
    log = tmp_path / "paid"
    log.touch()
    run(tmp_path, "nsga2", factory=replace(FACTORY, log=str(log)))
    assert set(log.read_text().split()) <= FACTORY.raises, "only failures are tried again"


@pytest.mark.parametrize("sampler", OPTIONS)
def test_a_larger_budget_goes_on_as_if_it_had_been_given_at_once(
    sampler: str, root: Path, tmp_path: Path
) -> None:
    _, _, wanted = undisturbed(sampler, root)
    for trials in (1, 7, 23, 40, TRIALS):
        run(tmp_path, sampler, trials)
        found = [essence(trial) for trial in read_study(tmp_path / "study.log").trials]
        assert found == wanted[:trials]


def test_trials_that_would_be_proposed_otherwise_are_kept(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal, _, wanted = undisturbed("random", root)
    lines = journal.splitlines(keepends=True)[: 3 + 7]
    swapped = [*lines[:-2], lines[-1], lines[-2]]  # as another version might have drawn them
    (tmp_path / "study.log").write_bytes(b"".join(swapped))
    run(tmp_path, "random", 12)
    assert "proposed otherwise" in caplog.text
    found = [essence(t)[0] for t in read_study(tmp_path / "study.log").trials]
    assert found[:7] == [*[w[0] for w in wanted[:5]], wanted[6][0], wanted[5][0]]
    assert len(found) == 12


DRIVER = """
import sys
from dataclasses import replace
from pathlib import Path
from tests.nas_tests.test_study_resume import FACTORY, run
run(Path(sys.argv[1]), sys.argv[2], factory=replace(FACTORY, steps=True))
"""


@pytest.mark.slow
@pytest.mark.parametrize("sampler", OPTIONS)
def test_a_driver_killed_with_sigkill_loses_nothing(
    sampler: str, root: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    _, _, wanted = undisturbed(sampler, root)
    seed = random.SystemRandom().randrange(10**6)
    evaluation = random.Random(seed).randrange(1, 20)
    sys.stdout.write(f"kill drawn from seed {seed}: after evaluation {evaluation}\n")
    command = [sys.executable, "-c", DRIVER, str(tmp_path), sampler]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=request.config.rootpath, **pipes) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None
        for _ in range(evaluation):
            assert driver.stdout.read(1) == b"!"
            driver.stdin.write(b".")
            driver.stdin.flush()
        driver.kill()  # between this evaluation's end and the next one's
    kept = read_study(tmp_path / "study.log").trials
    assert len(kept) < TRIALS
    run(tmp_path, sampler)
    assert [essence(t) for t in read_study(tmp_path / "study.log").trials] == wanted


def test_the_undisturbed_study_has_what_makes_resuming_hard(root: Path) -> None:
    _, _, wanted = undisturbed("random", root)
    assert {paid for *_, paid, _ in wanted} == {True, False}
    assert {state for _, state, *_ in wanted} == {"complete", "failed"}
    assert len({digest for digest, *_ in wanted}) < TRIALS
