"""A first look at part of the images: nothing wrong on the front, nothing paid for twice."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import beta, hypergeom

from nas.evaluation import EvaluationKey, EvaluationStore
from nas.evaluator import SupernetEvaluator, split_images
from nas.executors import Arrays, Executor, Part
from nas.executors.in_process import InProcess
from nas.objectives import OBJECTIVES
from nas.pareto import non_dominated
from nas.study import (
    Budget,
    FinishedTrial,
    FirstLook,
    StudyResult,
    StudySpec,
    front_of,
    read_study,
    run_study,
    saved_images,
)
from nas.study.first_look import Hurdle
from search_spaces.architecture import Architecture
from tests.nas_tests import study_toy
from tests.nas_tests.study_toy import ToyProblem, accuracy_of, architecture, free_metrics

TOTAL, FIRST, BATCH, TRIALS = 4000, 400, 10, 60
ACCURACY, LATENCY, PARAMS = (OBJECTIVES[n] for n in ("accuracy", "latency_ms", "params"))


def hits_of(candidate: Architecture) -> np.ndarray:
    """Which of the images a candidate answers rightly, the first part first."""
    rng = np.random.default_rng(int(candidate.digest(), 16))
    return rng.random(TOTAL) < min(accuracy_of(candidate), 1.0)


def true_accuracy(candidate: Architecture) -> float:
    return float(hits_of(candidate).sum()) / TOTAL


@dataclass(frozen=True)
class Factory:
    log: str | None = None

    def shared(self) -> Arrays:
        return {}

    def build(self, shared: Arrays) -> Evaluator:
        return Evaluator(self)


@dataclass(frozen=True)
class Evaluator:
    factory: Factory

    def evaluate(self, candidate: Architecture) -> dict[str, float]:
        return self.evaluate_part(candidate, "all")

    def evaluate_part(self, candidate: Architecture, part: Part) -> dict[str, float]:
        if self.factory.log is not None:
            with Path(self.factory.log).open("a") as file:
                file.write(f"{candidate.digest()} {part}\n")
        start, end = FIRST if part == "rest" else 0, FIRST if part == "first" else TOTAL
        return {"accuracy": float(hits_of(candidate)[start:end].mean())}


def first_key(candidate: Architecture) -> EvaluationKey:
    return replace(ToyProblem().key(candidate, "accuracy"), split="val:first")


LOOK = FirstLook(metric="accuracy", images=FIRST, total=TOTAL, key=first_key)


def study(
    folder: Path,
    trials: int = TRIALS,
    *,
    look: FirstLook | None = LOOK,
    log: Path | None = None,
    executor: Callable[[], Executor] | None = None,
) -> StudyResult:
    factory = Factory(None if log is None else str(log))
    return run_study(
        ToyProblem(),
        StudySpec(
            objectives=(ACCURACY, LATENCY, PARAMS),
            sampler_options={"population_size": 8},
            batch_size=BATCH,
        ),
        executor=executor or (lambda: InProcess(factory)),
        store=EvaluationStore(folder / "evaluations.jsonl"),
        journal=folder / "study.journal",
        budget=Budget(trials=trials),
        first_look=look,
    )


def looks(log: Path) -> dict[str, list[str]]:
    """The parts each candidate was looked at, in order."""
    found = defaultdict(list)
    for line in log.read_text().splitlines():
        digest, part = line.split()
        found[digest].append(part)
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyResult]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, study(folder, log=folder / "log")


def test_some_are_looked_at_in_part_and_none_of_them_stands_on_the_front(undisturbed) -> None:
    _, result = undisturbed
    parts = [trial for trial in result.trials if trial.images]
    assert parts
    assert all(trial.images == FIRST and set(trial.partial) == {"accuracy"} for trial in parts)
    assert all("accuracy" not in trial.metrics for trial in parts), "never shown as measured"
    assert all(trial.paid and trial.feasible and not trial.eligible for trial in parts)
    assert not {t.digest for t in result.front} & {t.digest for t in parts}
    for trial in result.front:
        assert trial.values[0] == trial.metrics["accuracy"] == true_accuracy(trial.architecture)


def test_no_candidate_of_the_true_front_was_missed(undisturbed) -> None:
    """As if everything had been looked at in full."""
    _, result = undisturbed
    tried = {trial.digest: trial.architecture for trial in result.trials}
    rows = []
    for candidate in tried.values():
        free = free_metrics(candidate)
        rows.append((true_accuracy(candidate), free["latency_ms"], free["params"]))
    mask = non_dominated(rows, ("max", "min", "min"))
    wanted = {digest for digest, member in zip(tried, mask, strict=True) if member}
    assert {trial.digest for trial in result.front} == wanted


def test_no_image_is_looked_at_twice(undisturbed) -> None:
    folder, result = undisturbed
    allowed = (["all"], ["first"], ["first", "rest"])
    seen = looks(folder / "log")
    assert all(parts in allowed for parts in seen.values())
    assert {str(parts) for parts in seen.values()} == {str(parts) for parts in allowed}
    stored = EvaluationStore(folder / "evaluations.jsonl")
    for trial in result.trials:
        first = stored.get(first_key(trial.architecture))
        if first is not None:
            assert first.provenance["images"] == FIRST
        if trial.images:
            assert first is not None
            assert first.value == trial.partial["accuracy"] == trial.values[0]


def test_what_was_spared_is_counted(undisturbed) -> None:
    folder, result = undisturbed
    seen = looks(folder / "log")
    images = {"all": TOTAL, "first": FIRST, "rest": TOTAL - FIRST}
    shown = sum(images[part] for parts in seen.values() for part in parts)
    spared, total = saved_images(result.trials, TOTAL)
    assert total == len(seen) * TOTAL
    assert spared == total - shown > 0


def essence(trial: FinishedTrial) -> tuple[object, ...]:
    return trial.digest, trial.values, trial.images, trial.hypervolume


def test_cut_anywhere_it_goes_on_identically(undisturbed, tmp_path: Path) -> None:
    folder, result = undisturbed
    journal = (folder / "study.journal").read_bytes()
    evaluations = (folder / "evaluations.jsonl").read_bytes()
    ends = [i + 1 for i, byte in enumerate(journal) if byte == ord("\n")]
    for place, end in enumerate(ends[4::7]):
        other = tmp_path / str(place)
        other.mkdir()
        (other / "study.journal").write_bytes(journal[: end - 3 * (place % 2)])
        share = len(evaluations) * end // len(journal)
        known = evaluations if place % 3 else evaluations[:share]
        (other / "evaluations.jsonl").write_bytes(known)
        again = study(other)
        assert [essence(t) for t in again.trials] == [essence(t) for t in result.trials]
    assert read_study(other / "study.journal").trials == again.trials


def test_a_finished_study_pays_for_nothing_again(undisturbed, tmp_path: Path) -> None:
    folder, result = undisturbed
    evaluations = (folder / "evaluations.jsonl").read_bytes()
    (tmp_path / "evaluations.jsonl").write_bytes(evaluations)

    def nothing() -> Executor:
        raise AssertionError("everything was paid for")

    again = study(tmp_path, executor=nothing)
    assert [essence(t) for t in again.trials] == [essence(t) for t in result.trials]
    assert {t.source for t in again.trials if t.images} == {"store"}


def test_without_it_everything_is_looked_at_in_full(tmp_path: Path) -> None:
    log = tmp_path / "log"
    result = study(tmp_path, 20, look=None, log=log)
    assert {part for parts in looks(log).values() for part in parts} == {"all"}
    assert saved_images(result.trials, TOTAL)[0] == 0


def test_a_failed_first_look_fails_the_trial(tmp_path: Path) -> None:
    class Broken(Evaluator):
        def evaluate_part(self, candidate: Architecture, part: Part) -> dict[str, float]:
            if part == "first":
                raise ArithmeticError("no")
            return super().evaluate_part(candidate, part)

    class BrokenFactory(Factory):
        def build(self, shared: Arrays) -> Evaluator:
            return Broken(self)

    result = study(tmp_path, 30, executor=lambda: InProcess(BrokenFactory()))
    failed = [trial for trial in result.trials if trial.state == "failed"]
    assert {trial.reason for trial in failed} == {"ArithmeticError: no"}
    assert len(result.trials) == 30
    assert front_of(result.trials, ("max", "min", "min")) == result.front


@pytest.mark.ray
def test_on_ray_it_decides_as_in_the_process(undisturbed, tmp_path: Path) -> None:
    import sys

    from nas.executors import ExecutorOptions
    from nas.executors.ray import RayExecutor
    from nas.executors.ray_session import start

    options = ExecutorOptions(workers=2)
    ray = start(options, tmp_path).ray
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.cloudpickle.register_pickle_by_value(study_toy)
    _, wanted = undisturbed
    found = study(tmp_path, executor=lambda: RayExecutor(Factory(), options, tmp_path))
    assert [essence(trial) for trial in found.trials] == [essence(t) for t in wanted.trials]


def test_the_parts_of_the_images_make_the_whole() -> None:
    count, first = 1300, 300
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 1, 1, 10, generator=generator)
    labels = torch.randint(10, (count,), generator=generator)
    labels[::2] = images[::2].flatten(1).argmax(dim=1)
    member = SimpleNamespace(frozen=lambda: lambda x: x.flatten(1))
    supernet = SimpleNamespace(member=lambda architecture: member)
    made = SupernetEvaluator(supernet, images, labels, first)
    candidate = architecture()
    parts = [made.evaluate_part(candidate, part)["accuracy"] for part in ("first", "rest")]
    look = replace(LOOK, images=first, total=count)
    assert look.whole(*parts) == made.evaluate(candidate)["accuracy"]
    assert made.evaluate_part(candidate, "all") == made.evaluate(candidate)
    chosen, others = split_images(count, first)
    assert len(chosen) == first
    assert sorted([*chosen, *others]) == list(range(count))
    assert (split_images(count, first)[0] == chosen).all()


# -- arithmetic -------------------------------------------------------------------------------


def test_the_upper_bound_knows_how_much_was_seen() -> None:
    look = replace(LOOK, images=100, total=10**6)
    assert look.most(0.5) == pytest.approx(binomial_upper(50, 100), abs=1e-3)
    assert look.most(1.0) == 1.0
    assert replace(look, total=400).most(0.5) < look.most(0.5), "a quarter has been seen"
    nearly = replace(LOOK, images=100, total=101)
    assert nearly.most(0.5) == 51 / 101
    assert replace(LOOK, images=100, total=100).most(0.5) == 0.5
    assert look.whole(0.5, 0.25) == (50 + 0.25 * (10**6 - 100)) / 10**6


def binomial_upper(right: int, count: int) -> float:
    """Clopper and Pearson's bound, for a part of something endless."""
    return float(beta.ppf(0.999, right + 1, count - right))


@pytest.mark.parametrize(("images", "total"), [(400, 1000), (400, 4000), (1024, 2048), (16, 40)])
def test_the_bound_fails_at_most_once_in_a_thousand(images: int, total: int) -> None:
    look = replace(LOOK, images=images, total=total)
    for truth in (0.1, 0.3, 0.6, 0.9, 0.97):
        right = int(truth * total)
        enough = bisect_left(range(images), right / total, key=lambda h: look.most(h / images))
        assert hypergeom.cdf(enough - 1, total, right, images) <= 0.001


def test_a_hurdle_is_the_best_of_those_that_cost_no_more() -> None:
    def member(accuracy: float, latency: float, params: float) -> FinishedTrial:
        metrics = {"accuracy": accuracy, "latency_ms": latency, "params": params}
        return FinishedTrial(
            number=0,
            state="complete",
            digest="d",
            architecture_json="{}",
            values=(accuracy, latency, params),
            metrics=metrics,
            violations={},
            source="evaluated",
            reason=None,
            seconds=0.0,
            repairs=(),
        )

    front = [member(0.9, 2.0, 20), member(0.8, 1.0, 10), member(0.7, 0.5, 30)]
    hurdle = Hurdle(front, (ACCURACY, LATENCY, PARAMS), "accuracy")
    assert hurdle.height({"latency_ms": 2.0, "params": 20}) == 0.9
    assert hurdle.height({"latency_ms": 1.9, "params": 20}) == 0.8
    assert hurdle.height({"latency_ms": 0.9, "params": 40}) == 0.7
    assert hurdle.height({"latency_ms": 0.4, "params": 40}) == -math.inf
    assert Hurdle(front, (ACCURACY,), "accuracy").height({}) == 0.9
