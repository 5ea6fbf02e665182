"""What a study does with values, limits, failures, budgets and other people's files."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend, JournalStorage

from nas.evaluation import EvaluationStore
from nas.executors import Executor, Outcome
from nas.executors.in_process import InProcess
from nas.objectives import OBJECTIVES, Limit
from nas.pareto import Box, hypervolume, non_dominated
from nas.study import (
    Budget,
    FinishedTrial,
    StudyResult,
    StudySpec,
    nearest_misses,
    read_study,
    run_study,
)
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError
from tests.nas_tests.study_toy import (
    BrokenFactory,
    ToyFactory,
    ToyProblem,
    accuracy_of,
    architecture,
)

ACCURACY, LATENCY = OBJECTIVES["accuracy"], OBJECTIVES["latency_ms"]
COMMON = architecture(16, (1,), ("softmax",))


def spec(**changes: Any) -> StudySpec:
    fields: dict[str, Any] = {
        "objectives": (ACCURACY, LATENCY),
        "sampler_options": {"population_size": 8},
        "batch_size": 5,
    }
    return StudySpec(**(fields | changes))


def study(
    folder: Path,
    trials: int = 30,
    *,
    question: StudySpec | None = None,
    problem: ToyProblem | None = None,
    factory: ToyFactory | None = None,
    executor: Callable[[], Executor] | None = None,
    minutes: float | None = None,
    on_trial: Callable[[FinishedTrial], None] | None = None,
) -> StudyResult:
    return run_study(
        problem or ToyProblem(),
        question or spec(),
        executor=executor or (lambda: InProcess(factory or ToyFactory())),
        store=EvaluationStore(folder / "evaluations.jsonl"),
        journal=folder / "study.log",
        budget=Budget(trials=trials, minutes=minutes),
        on_trial=on_trial,
    )


def no_executor() -> Executor:
    raise AssertionError("nothing had to be paid for")


def digests(result: StudyResult) -> list[str]:
    return [trial.digest for trial in result.trials]


def test_a_study_finds_the_front_of_what_it_tried(tmp_path: Path) -> None:
    result = study(tmp_path, 40)
    assert (len(result.trials), result.stopped, result.resumed) == (40, "trials", 0)
    for trial in result.trials:
        assert trial.architecture.digest() == trial.digest
        assert trial.metrics["accuracy"] == accuracy_of(trial.architecture)
        assert trial.values == (trial.metrics["accuracy"], trial.metrics["latency_ms"])
    values = [trial.values for trial in result.trials]
    mask = non_dominated(values, ("max", "min"))
    members = {trial.digest for trial, member in zip(result.trials, mask, strict=True) if member}
    assert {trial.digest for trial in result.front} == members
    assert len(result.front) == len(members), "each once"
    accuracies = [trial.values[0] for trial in result.front]
    assert accuracies == sorted(accuracies, reverse=True), "best first objective first"


def test_the_hypervolume_grows_on_a_fixed_scale(tmp_path: Path) -> None:
    seen: list[FinishedTrial] = []
    result = study(tmp_path, 30, on_trial=seen.append)
    assert seen == list(result.trials)
    volumes = [trial.hypervolume for trial in seen]
    assert volumes[:9] == [None] * 9
    known = [volume for volume in volumes[9:] if volume is not None]
    assert known == sorted(known)
    assert len(known) == 21
    assert result.box is not None
    front = [trial.values for trial in result.front]
    assert known[-1] == pytest.approx(hypervolume(front, ("max", "min"), result.box))
    assert known[-1] == result.hypervolume

    box = Box(ideal=(1.0, 0.0), worst=(0.0, 3.0))
    fixed = study(tmp_path / "fixed", 5, question=spec(box=box))
    assert fixed.trials[0].hypervolume == pytest.approx(
        hypervolume([fixed.trials[0].values], ("max", "min"), box)
    )
    assert read_study(tmp_path / "fixed" / "study.log").box == box


def test_optuna_itself_reads_the_journal(tmp_path: Path) -> None:
    limits = (Limit(LATENCY, 0.6),)
    factory = ToyFactory(raises=frozenset({COMMON.digest()}))
    result = study(tmp_path, 33, question=spec(limits=limits), factory=factory)
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.log")))
    loaded = optuna.load_study(study_name="formfinder-toy", storage=storage)
    assert loaded.metric_names == ["accuracy", "latency_ms"]
    assert [d.name for d in loaded.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert [t.number for t in loaded.trials] == list(range(33))
    assert {t.state.name for t in loaded.trials} == {"COMPLETE", "FAIL"}
    for theirs, ours in zip(loaded.trials, result.trials, strict=True):
        assert tuple(theirs.values or ()) == ours.values
        assert theirs.constraints == ours.violations
        assert theirs.user_attrs["digest"] == ours.digest
        assert theirs.user_attrs["paid"] == ours.paid
        assert theirs.params.keys() >= {"stage0.depth", "stage0.width", "stage0.layer0.heads"}
        assert theirs.datetime_complete is not None
        assert theirs.datetime_start is not None
        assert theirs.datetime_complete >= theirs.datetime_start
    best = {t.user_attrs["digest"] for t in loaded.best_trials}
    assert best == {t.digest for t in result.front}
    loaded.ask()  # what others append is none of ours
    with pytest.raises(UserError, match="trial 33 was not written by formfinder"):
        study(tmp_path, 40, question=spec(limits=limits), factory=factory)


def test_readers_need_only_the_journal(tmp_path: Path) -> None:
    result = study(tmp_path, 17, question=spec(limits=(Limit(LATENCY, 1.0),)))
    record = read_study(tmp_path / "study.log")
    assert record.trials == result.trials
    assert record.front == result.front
    assert record.limits == {"latency_ms": 1.0}
    assert record.objectives[1] == {
        "name": "latency_ms",
        "label": "latency",
        "unit": "ms",
        "direction": "min",
    }
    with (tmp_path / "study.log").open("a") as file:
        file.write('{"op_code":4,"half a li')
    assert read_study(tmp_path / "study.log") == record


def test_what_breaks_a_free_limit_is_not_paid_for(tmp_path: Path) -> None:
    log = tmp_path / "paid"
    result = study(
        tmp_path,
        40,
        question=spec(limits=(Limit(LATENCY, 0.8),)),
        factory=ToyFactory(log=str(log)),
    )
    unpaid = [trial for trial in result.trials if not trial.paid]
    assert unpaid
    for trial in unpaid:
        assert trial.state == "complete"
        assert not trial.feasible
        assert trial.metrics["latency_ms"] > 0.8
        assert "accuracy" not in trial.metrics
        assert trial.values[0] == ACCURACY.worst
        assert trial.violations["latency_ms"] == pytest.approx(
            trial.metrics["latency_ms"] / 0.8 - 1
        )
        assert trial.reason == "not paid for: breaks latency_ms ≤ 0.8 ms"
    paid = set(log.read_text().split())
    assert paid == {trial.digest for trial in result.trials if trial.paid}
    assert all(trial.metrics["latency_ms"] <= 0.8 for trial in result.front)
    late = [trial.feasible for trial in result.trials[-15:]]
    early = [trial.feasible for trial in result.trials[:15]]
    assert sum(late) > sum(early), "the sampler learns where the limit is"


def test_a_limit_on_a_paid_metric_is_judged_after_paying(tmp_path: Path) -> None:
    result = study(tmp_path, 30, question=spec(limits=(Limit(ACCURACY, 0.6),)))
    assert all(trial.paid for trial in result.trials)
    assert {trial.feasible for trial in result.trials} == {True, False}
    assert all(trial.metrics["accuracy"] >= 0.6 for trial in result.front)


def test_limits_that_nothing_meets_say_what_was_best(tmp_path: Path) -> None:
    limits = (Limit(LATENCY, 0.001), Limit(ACCURACY, 0.1))
    result = study(tmp_path, 10, question=spec(limits=limits), executor=no_executor)
    assert result.front == ()
    assert result.hypervolume is None
    lines = nearest_misses(result.trials, limits)
    best = min(trial.metrics["latency_ms"] for trial in result.trials)
    assert lines[0] == f"latency_ms ≤ 0.001 ms: the best of 10 candidates has {best:.4g}"


def test_duplicates_and_known_values_cost_nothing(tmp_path: Path) -> None:
    log = tmp_path / "paid"
    question = spec(sampler="random", sampler_options={})  # the one that repeats itself
    first = study(tmp_path, 40, question=question, factory=ToyFactory(log=str(log)))
    paid = log.read_text().split()
    assert len(paid) == len(set(paid)) == len(set(digests(first))) < 40
    (tmp_path / "study.log").unlink()
    second = study(tmp_path, 40, question=question, executor=no_executor)
    assert [t.values for t in second.trials] == [t.values for t in first.trials]
    assert {t.source for t in second.trials} == {"store"}
    known = EvaluationStore(tmp_path / "evaluations.jsonl")
    assert all(e.provenance["code"] == "test" for _, e in known.items())


@pytest.mark.parametrize(
    ("how", "reason"),
    [("raises", "ArithmeticError: two lines"), ("nans", "not finite: accuracy=nan")],
)
def test_a_failed_evaluation_is_a_failed_trial_and_the_study_goes_on(
    tmp_path: Path, how: str, reason: str
) -> None:
    bad = frozenset(digests(study(tmp_path / "other", 3)))
    result = study(tmp_path, 30, factory=ToyFactory(**{how: bad}))
    failed = [trial for trial in result.trials if trial.state == "failed"]
    assert {trial.digest for trial in failed} == set(bad)
    assert {trial.reason for trial in failed} == {reason}
    assert all(trial.values == () and not trial.feasible for trial in failed)
    assert len(result.trials) == 30
    assert not bad & {
        k.architecture for k, _ in EvaluationStore(tmp_path / "evaluations.jsonl").items()
    }


def test_an_evaluator_that_forgets_a_metric_fails_the_trial(tmp_path: Path) -> None:
    class Forgetful(InProcess):
        def run(self, architectures: Sequence[Architecture], stop: Any) -> Iterator[Outcome]:
            for candidate in architectures:
                yield Outcome(architecture=candidate, values={"loss": 1.0})

    result = study(tmp_path, 5, executor=lambda: Forgetful(ToyFactory()))
    assert {trial.reason for trial in result.trials} == {"the evaluation gave no accuracy"}


def test_a_free_metric_that_is_no_number_fails_the_trial(tmp_path: Path) -> None:
    class Odd(ToyProblem):
        def free(self, architectures: Sequence[Architecture]) -> list[dict[str, float]]:
            rows = super().free(architectures)
            rows[1]["latency_ms"] = float("nan")
            return rows

    result = study(tmp_path, 5, problem=Odd())
    assert [trial.state for trial in result.trials].count("failed") == 1
    assert result.trials[1].reason == "not finite: latency_ms"
    assert '"latency_ms":NaN' not in (tmp_path / "study.log").read_text()


def test_a_user_error_in_an_evaluator_ends_the_study(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        study(tmp_path, 5, factory=BrokenFactory())


def test_the_order_in_which_evaluations_finish_changes_nothing(tmp_path: Path) -> None:
    class Backwards(InProcess):
        def run(self, architectures: Sequence[Architecture], stop: Any) -> Iterator[Outcome]:
            yield from reversed(list(super().run(architectures, stop)))

    forwards = study(tmp_path / "a", 30)
    backwards = study(tmp_path / "b", 30, executor=lambda: Backwards(ToyFactory()))
    assert [t.values for t in forwards.trials] == [t.values for t in backwards.trials]
    assert digests(forwards) == digests(backwards)


def test_one_objective_and_only_free_objectives(tmp_path: Path) -> None:
    single = study(tmp_path / "one", 15, question=spec(objectives=(ACCURACY,)))
    assert len(single.front) == 1
    assert single.front[0].values[0] == max(trial.values[0] for trial in single.trials)
    free = study(
        tmp_path / "free",
        15,
        question=spec(objectives=(OBJECTIVES["params"], OBJECTIVES["macs"])),
        executor=no_executor,
    )
    assert len(free.front) >= 1
    again = study(tmp_path / "one", 20, question=spec(objectives=(ACCURACY,)))
    assert again.trials[:15] == single.trials
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "one" / "study.log")))
    assert (
        optuna.load_study(study_name=None, storage=storage).best_value == again.front[0].values[0]
    )


def test_a_finished_study_is_only_read(tmp_path: Path) -> None:
    first = study(tmp_path, 12)
    before = (tmp_path / "study.log").read_bytes()
    again = study(tmp_path, 12, executor=no_executor)
    assert again.trials == first.trials
    assert again.resumed == 12
    assert study(tmp_path, 5, executor=no_executor).trials == first.trials
    assert (tmp_path / "study.log").read_bytes() == before


def test_ctrl_c_finishes_what_is_in_flight(tmp_path: Path) -> None:
    def press(trial: FinishedTrial) -> None:
        if trial.number == 7:
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    result = study(tmp_path, 30, on_trial=press)
    assert signal.getsignal(signal.SIGINT) is handler
    assert result.stopped == "interrupted"
    assert 8 <= len(result.trials) < 30
    assert digests(study(tmp_path, 30)) == digests(study(tmp_path / "undisturbed", 30))


def test_a_second_ctrl_c_stops_at_once_and_loses_nothing_finished(tmp_path: Path) -> None:
    def press(trial: FinishedTrial) -> None:
        if trial.number == 7:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        study(tmp_path, 30, on_trial=press)
    assert len(read_study(tmp_path / "study.log").trials) == 8
    assert digests(study(tmp_path, 30)) == digests(study(tmp_path / "undisturbed", 30))


def test_minutes_are_a_budget_too(tmp_path: Path) -> None:
    result = study(tmp_path, 10**6, minutes=1e-9)
    assert result.stopped == "minutes"
    assert len(result.trials) < 10**6
    assert len(study(tmp_path, 10).trials) == 10


def test_a_study_runs_outside_the_main_thread(tmp_path: Path) -> None:
    results: list[StudyResult] = []
    thread = threading.Thread(target=lambda: results.append(study(tmp_path, 6)))
    thread.start()
    thread.join()
    assert len(results[0].trials) == 6


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"problem": ToyProblem(identity={"weights": "w1"})}, "weights: w0 → w1"),
        ({"problem": ToyProblem(space_digest="else")}, "space: toy → else"),
        ({"question": spec(seed=1)}, "seed: 0 → 1"),
        ({"question": spec(objectives=(LATENCY, ACCURACY))}, r"objectives: \[.max accuracy"),
        ({"question": spec(limits=(Limit(LATENCY, 2.0),))}, r"constraints: {} → {.latency_ms"),
        ({"question": spec(sampler_options={})}, "sampler_options"),
        ({"question": spec(batch_size=6)}, "batch_size: 5 → 6"),
    ],
)
def test_a_journal_of_another_study_is_refused_with_the_reason(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    study(tmp_path, 3)
    before = (tmp_path / "study.log").read_bytes()
    with pytest.raises(UserError, match=reason) as caught:
        study(tmp_path, 6, **change)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "study.log").read_bytes() == before


def test_foreign_and_damaged_journals_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    storage = JournalStorage(JournalFileBackend(str(path)))
    optuna.create_study(study_name="theirs", storage=storage)
    with pytest.raises(UserError, match="not written by formfinder"):
        study(tmp_path, 3)
    with pytest.raises(UserError, match="not a study of formfinder"):
        read_study(path)
    path.write_text("{}\nnot JSON\n")
    with pytest.raises(UserError, match=r"study\.log:1: not a study record"):
        study(tmp_path, 3)
    with pytest.raises(UserError, match="cannot be read"):
        read_study(tmp_path / "nothing.log")


def test_one_driver_at_a_time(tmp_path: Path) -> None:
    refused: list[str] = []

    def second(trial: FinishedTrial) -> None:
        with pytest.raises(UserError, match="another process is running this study") as caught:
            study(tmp_path, 9)
        refused.append(str(caught.value))

    study(tmp_path, 1, on_trial=second)
    assert len(refused) == 1
    assert len(study(tmp_path, 2).trials) == 2


def test_a_full_disk_is_one_line_and_the_study_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, room = os.write, [12_000]

    def write(file: int, data: bytes) -> int:
        fits = min(room[0], len(data))
        room[0] -= fits
        return real(file, data[:fits])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(UserError, match="No space left"):
            study(tmp_path, 30)
    for line in (tmp_path / "study.log").read_text().splitlines():
        json.loads(line)
    assert digests(study(tmp_path, 30)) == digests(study(tmp_path / "undisturbed", 30))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: spec(objectives=()), "search.objectives"),
        (lambda: spec(objectives=(ACCURACY, ACCURACY)), "'accuracy' is given twice"),
        (
            lambda: spec(limits=(Limit(LATENCY, 1), Limit(LATENCY, 2))),
            "'latency_ms' is given twice",
        ),
        (lambda: spec(sampler="nsga22"), "did you mean 'nsga2'"),
        (lambda: spec(batch_size=0), "search.batch_size"),
        (lambda: spec(seed=-1), "seed"),
        (lambda: Budget(trials=0), "search.trials=0"),
        (lambda: Budget(trials=1, minutes=0), "search.minutes"),
    ],
)
def test_bad_questions_get_one_line(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_the_numbers_of_the_journal_are_optunas() -> None:
    from optuna.storages.journal._storage import JournalOperation
    from optuna.study import StudyDirection
    from optuna.study._constrained_optimization import _CONSTRAINTS_KEY
    from optuna.trial import TrialState

    from nas.study import journal, trials

    assert journal.CREATE_STUDY == JournalOperation.CREATE_STUDY
    assert journal.STUDY_USER_ATTR == JournalOperation.SET_STUDY_USER_ATTR
    assert journal.STUDY_SYSTEM_ATTR == JournalOperation.SET_STUDY_SYSTEM_ATTR
    assert journal.CREATE_TRIAL == JournalOperation.CREATE_TRIAL
    assert (trials.COMPLETE, trials.FAILED) == (TrialState.COMPLETE, TrialState.FAIL)
    assert f"{_CONSTRAINTS_KEY}:" == trials.CONSTRAINT_PREFIX
    records = journal.header("name", ["min", "max"], ["a", "b"], {})
    assert len(records) == journal.HEADER_LENGTH
    assert records[0]["directions"] == [StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE]
