"""Ray: crashes, hangs, equal results, and a user's folders of our names. One Ray for the file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend, JournalStorage

from nas.evaluation import EvaluationStore
from nas.executors import ExecutorOptions, Outcome
from nas.executors.in_process import InProcess
from nas.executors.ray import RayExecutor
from nas.executors.ray_session import start
from nas.objectives import OBJECTIVES
from nas.study import Budget, StudyResult, StudySpec, run_study
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError
from tests.nas_tests import study_toy
from tests.nas_tests.study_toy import ToyFactory, ToyProblem, accuracy_of, architecture

pytestmark = pytest.mark.ray

SOME = [architecture(width, heads) for width in (16, 32, 64) for heads in ((1, 2), (2, 4), (8, 8))]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("ray")
    ray = start(ExecutorOptions(workers=2), path).ray
    ray.cloudpickle.register_pickle_by_value(study_toy)  # workers do not see the tests
    yield path
    ray.shutdown()


def run(folder: Path, factory: ToyFactory, **options: float) -> dict[Architecture, Outcome]:
    asked = ExecutorOptions(workers=2, **options)  # type: ignore[arg-type]
    with RayExecutor(factory, asked, folder) as executor:
        outcomes = list(executor.run(SOME, lambda: False))
    assert sorted(o.architecture.digest() for o in outcomes) == sorted(a.digest() for a in SOME)
    return {outcome.architecture: outcome for outcome in outcomes}


def test_a_worker_killed_in_an_evaluation_loses_nothing(folder: Path, tmp_path: Path) -> None:
    died = tmp_path / "died"
    outcomes = run(folder, ToyFactory(dies=SOME[3].digest(), died=str(died)))
    assert died.exists()
    assert {a: o.values for a, o in outcomes.items()} == {
        a: {"accuracy": accuracy_of(a)} for a in SOME
    }


def test_hangs_crashes_and_errors_are_outcomes_and_the_rest_is_evaluated(folder: Path) -> None:
    factory = ToyFactory(
        hangs=frozenset({SOME[0].digest()}),
        dies=SOME[1].digest(),
        raises=frozenset({SOME[2].digest()}),
        nans=frozenset({SOME[3].digest()}),
    )
    outcomes = run(folder, factory, timeout_s=4.0, retries=1)
    errors = [outcomes[candidate].error for candidate in SOME]
    assert errors[0] == "timed out after 4 s"
    assert errors[1] is not None
    assert errors[1].startswith("its worker died 2 times")
    assert errors[2:4] == ["ArithmeticError: two lines", "not finite: accuracy=nan"]
    assert errors[4:] == [None] * (len(SOME) - 4)


def test_an_evaluator_that_cannot_be_built_ends_it_with_its_own_line(folder: Path) -> None:
    with pytest.raises(UserError, match=r"^weights\.safetensors: no such file$"):
        run(folder, study_toy.BrokenFactory())


def study(
    folder: Path, factory: ToyFactory, ray: Path | None, timeout_s: float = 120.0
) -> StudyResult:
    options = ExecutorOptions(workers=2, timeout_s=timeout_s, retries=1)
    return run_study(
        ToyProblem(),
        StudySpec(
            objectives=(OBJECTIVES["accuracy"], OBJECTIVES["latency_ms"]),
            sampler_options={"population_size": 8},
            batch_size=5,
        ),
        executor=lambda: InProcess(factory) if ray is None else RayExecutor(factory, options, ray),
        store=EvaluationStore(folder / "evaluations.jsonl"),
        journal=folder / "study.log",
        budget=Budget(trials=40),
    )


def test_a_study_on_ray_equals_one_in_this_process(folder: Path, tmp_path: Path) -> None:
    alone = study(tmp_path / "alone", ToyFactory(), None)
    died = str(tmp_path / "died")
    dies = alone.trials[12].digest
    on_ray = study(tmp_path / "ray", ToyFactory(dies=dies, died=died), folder)
    assert [t.values for t in on_ray.trials] == [t.values for t in alone.trials]
    assert [t.digest for t in on_ray.trials] == [t.digest for t in alone.trials]
    assert Path(died).exists()


def test_a_study_ends_with_its_budget_whatever_becomes_of_evaluations(
    folder: Path, tmp_path: Path
) -> None:
    alone = study(tmp_path / "alone", ToyFactory(), None)
    digests = list(dict.fromkeys(trial.digest for trial in alone.trials))
    factory = ToyFactory(
        raises=frozenset({digests[0]}),
        nans=frozenset({digests[1]}),
        hangs=frozenset({digests[2]}),
        dies=digests[3],  # every time
    )
    result = study(tmp_path / "ray", factory, folder, timeout_s=4.0)
    assert (len(result.trials), result.stopped) == (40, "trials")
    reasons = {trial.digest: str(trial.reason) for trial in result.trials if trial.values == ()}
    assert reasons[digests[0]] == "ArithmeticError: two lines"
    assert reasons[digests[1]] == "not finite: accuracy=nan"
    assert reasons[digests[2]] == "timed out after 4 s"
    assert reasons[digests[3]].startswith("its worker died 2 times")
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "ray" / "study.log")))
    loaded = optuna.load_study(study_name="formfinder-toy", storage=storage)
    assert [trial.state.is_finished() for trial in loaded.trials] == [True] * 40


SHADOWED = """
import os, sys
from pathlib import Path
from nas.executors import ExecutorOptions, open_executor
from supernet_probe import Probe
import ray.cloudpickle, supernet_probe
ray.cloudpickle.register_pickle_by_value(supernet_probe)
here = os.getcwd()
with open_executor("ray", Probe(), ExecutorOptions(workers=1), Path(sys.argv[1])) as executor:
    assert os.getcwd() == here
    from search_spaces.architecture import Architecture
    candidate = Architecture(image_size=(8, 8), channels=1, patch_size=4, stages=())
    (outcome,) = executor.run([candidate], lambda: False)
assert outcome.error is None, outcome.error
assert dict(outcome.values) == {"ours": 1.0, "omp": 1.0, "malloc": 1.0, "plugins": 1.0}, outcome
assert not ray.is_initialized()
"""

PROBE = """
import os
from dataclasses import dataclass

@dataclass(frozen=True)
class Probe:
    def shared(self):
        return {}

    def build(self, shared):
        return self

    def evaluate(self, architecture):
        import nas.pareto, search_spaces.space, supernet, conf
        files = [nas.pareto.__file__, supernet.__file__, conf.__file__]
        return {
            "ours": float(not any("shadow" in file for file in files)),
            "omp": float(os.environ["OMP_NUM_THREADS"]),
            "malloc": float("MALLOC_MMAP_THRESHOLD_" in os.environ),
            "plugins": float(os.path.isabs(os.environ["FORMFINDER_PLUGINS"])),
        }
"""


def test_folders_of_our_names_where_the_user_stands_do_not_shadow_ours(tmp_path: Path) -> None:
    shadow, tools = tmp_path / "shadow", tmp_path / "tools"
    for name in ("nas", "conf", "supernet", "search_spaces"):
        (shadow / name).mkdir(parents=True)
        (shadow / name / "__init__.py").write_text("raise ImportError('shadowed')\n")
    tools.mkdir()
    (shadow / "plugins").mkdir()
    (tools / "supernet_probe.py").write_text(PROBE)
    (tools / "driver.py").write_text(SHADOWED)
    command = [sys.executable, str(tools / "driver.py"), str(tmp_path / "run")]
    environment = {**os.environ, "FORMFINDER_PLUGINS": "plugins"}
    environment.pop("PYTHONPATH", None)
    subprocess.run(command, cwd=shadow, env=environment, check=True)
