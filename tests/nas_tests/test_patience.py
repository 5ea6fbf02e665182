"""A study that stops when it no longer gets anywhere, and what opens it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.evaluation import EvaluationStore
from nas.executors.in_process import InProcess
from nas.objectives import OBJECTIVES
from nas.pareto import Box
from nas.study import Budget, StudyResult, StudySpec, count_trials, run_study
from search_spaces.errors import UserError
from tests.nas_tests.study_toy import ToyFactory, ToyProblem

BATCH, PATIENCE = 5, 10


def study(
    folder: Path, trials: int = 300, patience: int | None = PATIENCE, **more: Any
) -> StudyResult:
    return run_study(
        ToyProblem(),
        StudySpec(
            objectives=(OBJECTIVES["accuracy"], OBJECTIVES["latency_ms"]),
            sampler_options={"population_size": 8},
            batch_size=BATCH,
            box=Box(ideal=(1.0, 0.0), worst=(0.0, 3.0)),
            **more,
        ),
        executor=lambda: InProcess(ToyFactory()),
        store=EvaluationStore(folder / "evaluations.jsonl"),
        journal=folder / "study.journal",
        budget=Budget(trials=trials, patience=patience),
    )


def still(result: StudyResult) -> int:
    """For how many of its last trials the hypervolume stood still."""
    last = result.hypervolume
    return sum(trial.hypervolume == last for trial in result.trials) - 1


def test_it_stops_behind_the_batch_in_which_patience_ended(tmp_path: Path) -> None:
    result = study(tmp_path)
    assert result.stopped == "patience"
    assert len(result.trials) % BATCH == 0
    assert PATIENCE <= still(result) < PATIENCE + BATCH
    assert count_trials(tmp_path / "study.journal") == len(result.trials) < 300


def test_the_same_budget_adds_nothing_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    first = study(tmp_path)
    assert study(tmp_path).trials == first.trials
    assert study(tmp_path, trials=400).trials == first.trials, "it still has no patience"
    longer = study(tmp_path, patience=2 * PATIENCE)
    assert len(longer.trials) > len(first.trials)
    whole = study(tmp_path / "at once", patience=2 * PATIENCE)
    assert [t.values for t in longer.trials] == [t.values for t in whole.trials]


def test_it_ends_where_it_would_have_ended_undisturbed(tmp_path: Path) -> None:
    wanted = [trial.values for trial in study(tmp_path / "whole").trials]
    for trials in (3, 17, len(wanted) - 2, 300):
        found = study(tmp_path / "pieces", trials=trials)
    assert [trial.values for trial in found.trials] == wanted
    assert found.stopped == "patience"


def test_trials_come_first(tmp_path: Path) -> None:
    assert study(tmp_path, trials=10, patience=1000).stopped == "trials"


def test_patience_has_to_be_positive() -> None:
    with pytest.raises(UserError, match=r"search\.patience=0"):
        Budget(trials=1, patience=0)


def test_more_known_architectures_than_a_batch_are_all_tried_first(tmp_path: Path) -> None:
    space = ToyProblem().space
    rows = [space.extreme(largest=large) for large in (True, False)]
    rows += list(space.sample_genes(np.random.default_rng(0), 10))
    params = tuple(space.params(row) for row in rows)
    wanted = [space.decode(row).digest() for row in rows]
    for trials in (2, 7, 15):  # resumed within the batches that they open
        result = study(tmp_path, trials=trials, patience=None, tried_first=params)
    assert [trial.digest for trial in result.trials][: len(wanted)] == wanted
