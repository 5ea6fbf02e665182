"""Whoever proposes: killed within a batch, a study goes on as if nothing had happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.evaluation import EvaluationStore
from nas.executors.in_process import InProcess
from nas.objectives import OBJECTIVES, Limit
from nas.study import Budget, StudySpec, read_study, run_study
from tests.nas_tests.study_toy import ToyFactory, ToyProblem, architecture
from tests.nas_tests.test_samplers import NAMES, OPTIONS

TRIALS, BATCH = 33, 6
FACTORY = ToyFactory(raises=frozenset({architecture(16, (1,), ("softmax",)).digest()}))


def run(folder: Path, sampler: str) -> list[tuple[object, ...]]:
    """What a study proposes and finds, run to its end or on from what lies in the folder."""
    spec = StudySpec(
        objectives=(OBJECTIVES["accuracy"], OBJECTIVES["latency_ms"]),
        limits=(Limit(OBJECTIVES["latency_ms"], 1.2), Limit(OBJECTIVES["accuracy"], 0.3)),
        sampler=sampler,
        sampler_options=OPTIONS.get(sampler, {}),
        seed=3,
        batch_size=BATCH,
    )
    run_study(
        ToyProblem(),
        spec,
        executor=lambda: InProcess(FACTORY),
        store=EvaluationStore(folder / "evaluations.jsonl"),
        journal=folder / "study.log",
        budget=Budget(trials=TRIALS),
    )
    return [(t.digest, t.state, t.values) for t in read_study(folder / "study.log").trials]


@pytest.mark.parametrize("sampler", NAMES)
def test_a_study_cut_within_its_first_and_a_later_batch_goes_on_identically(
    sampler: str, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    wanted = run(whole, sampler)
    lines = (whole / "study.log").read_bytes().splitlines(keepends=True)
    for share in (0.2, 0.7):
        folder = tmp_path / str(share)
        folder.mkdir()
        (folder / "study.log").write_bytes(b"".join(lines[: int(share * len(lines))]))
        assert run(folder, sampler) == wanted
