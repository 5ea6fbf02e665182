"""What a search costs beside its evaluations, and what a second worker gains.

    uv run python benchmarks/throughput.py [--samplers nsga2 random] [--trials 5000] [--parts ...]

Parts, all on a local Ray with two workers of one thread:

- ``driver``: studies on 46 genes whose evaluations do nothing: the driver's process time a trial
  (ask, tell, transport, storage) and trials per second;
- ``workers``: evaluations of fixed CPU work on two workers beside one; how much of the time workers
  evaluate, which does not depend on how busy the cores are; and the same work in two bare processes
  beside one: what the cores have to give just then;
- ``first``: from a started Ray to the first trial of the default space's supernet.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
from spaces import deep_digits, digits

from nas.evaluation import EvaluationKey, EvaluationStore
from nas.evaluator import SupernetEvaluatorFactory
from nas.executors import Arrays, EvaluatorFactory, ExecutorOptions
from nas.executors.ray import RayExecutor
from nas.executors.ray_session import start
from nas.objectives import OBJECTIVES
from nas.run_folder import RunFolder
from nas.study import Budget, FinishedTrial, StudySpec, run_study
from search_spaces.architecture import Architecture
from search_spaces.space import SearchSpace, Suggestion, Trial

WORKERS, LAST, CLASSES = 2, 500, 10
DRIVER_MS, TRIALS_PER_S, GAIN, FIRST_S = 10.0, 100.0, 1.6, 8.0
EVALUATION_S, EVALUATIONS = 0.25, 40


@dataclass(frozen=True)
class Problem:
    """A space, its closed-form costs, and paid accuracies."""

    space: SearchSpace
    space_digest: str = "throughput"
    identity: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def costs(self) -> Any:
        """Prices of candidates."""
        from supernet.costs import SpaceCosts

        return SpaceCosts(self.space, CLASSES)

    def suggest(self, trial: Trial) -> Suggestion:
        """See ``SearchProblem``."""
        return self.space.suggest(trial)

    def free(self, architectures: Sequence[Architecture]) -> list[dict[str, float]]:
        """See ``SearchProblem``."""
        import numpy as np

        columns = self.columns(np.stack([self.space.encode(each) for each in architectures]))
        return [
            {name: float(values[i]) for name, values in columns.items()}
            for i in range(len(architectures))
        ]

    def columns(self, genes_BG: Any) -> dict[str, Any]:
        """See ``SearchProblem``; latency is made up of MACs."""
        costs = self.costs(genes_BG)
        memory_mb_B = costs.peak_memory_mb(1)
        return {"latency_ms": costs.macs_B / 1e6, "peak_memory_mb": memory_mb_B}

    def key(self, architecture: Architecture, metric: str) -> EvaluationKey:
        """See ``SearchProblem``."""
        return EvaluationKey(
            weights="none", architecture=architecture.digest(), metric=metric, split="none"
        )


@dataclass(frozen=True)
class Work:
    """Builds evaluators that turn a loop so many times; 0: they do nothing."""

    turns: int = 0

    def shared(self) -> Arrays:
        """Nothing."""
        return {}

    def build(self, shared: Arrays) -> Work:
        """Itself."""
        return self

    def evaluate(self, architecture: Architecture) -> dict[str, float]:
        """A number that depends on the architecture alone."""
        turn(self.turns)
        return {"accuracy": int(architecture.digest()[:8], 16) / 0xFFFFFFFF}


def turn(turns: int) -> int:
    """CPU work without memory, without sleep."""
    value = 1
    for _ in range(turns):
        value = value * 1_103_515_245 + 12_345 & 0x7FFFFFFF
    return value


def study(
    folder: Path, problem: Problem, factory: EvaluatorFactory, sampler: str, trials: int
) -> list[tuple[float, float]]:
    """(wall s, process s) at which each trial was durable."""
    times: list[tuple[float, float]] = []

    def on_trial(trial: FinishedTrial) -> None:
        assert trial.state == "complete", trial.reason
        times.append((time.perf_counter(), time.process_time()))

    run_study(
        problem,
        StudySpec(
            objectives=tuple(OBJECTIVES[n] for n in ("accuracy", "latency_ms", "peak_memory_mb")),
            sampler=sampler,
        ),
        executor=lambda: RayExecutor(factory, ExecutorOptions(workers=WORKERS), folder),
        store=EvaluationStore(folder / "evaluations.jsonl"),
        journal=folder / "study.journal",
        budget=Budget(trials=trials),
        on_trial=on_trial,
    )
    return times


def driver(samplers: Sequence[str], trials: int) -> None:
    """Print what a trial costs the driver."""
    problem = Problem(deep_digits())
    print(f"driver, {len(problem.space.genes)} genes, {trials} trials, {WORKERS} idle workers")
    print(f"  goals: at most {DRIVER_MS:g} ms, at least {TRIALS_PER_S:g} trials/s")
    for sampler in samplers:
        with tempfile.TemporaryDirectory() as folder:
            times = study(Path(folder), problem, Work(), sampler, trials)
        wall, process = ([at[i] for at in times] for i in range(2))
        last = min(LAST, trials - 1)
        mean_ms = 1e3 * (process[-1] - process[0]) / (trials - 1)
        last_ms = 1e3 * (process[-1] - process[-1 - last]) / last
        rate = (trials - 1) / (wall[-1] - wall[0])
        print(
            f"  {sampler:<12} {mean_ms:6.2f} ms of the driver's CPU a trial "
            f"({last_ms:.2f} in the last {last}), {rate:.0f} trials/s"
        )


def workers() -> None:
    """Print what a second worker gains, and what a second process does."""
    busy = psutil.cpu_percent(interval=1.0)
    print(f"workers, {EVALUATIONS} evaluations of {EVALUATION_S * 1e3:g} ms of CPU")
    print(f"  goal: two are at least {GAIN:g} times one")
    print(f"  others keep {busy:.0f} % of {psutil.cpu_count()} cores busy")
    turns = calibrated()
    found: dict[int, float] = {}
    bare: dict[int, float] = {}
    for count in (1, 2):
        with (
            ray_of(count) as folder,
            RayExecutor(Work(turns), ExecutorOptions(workers=count), folder) as executor,
        ):
            some = architectures(EVALUATIONS + 4 * count)
            warm, timed = some[: 4 * count], some[4 * count :]
            assert all(outcome.error is None for outcome in executor.run(warm, lambda: False))
            began = time.perf_counter()
            outcomes = list(executor.run(timed, lambda: False))
            found[count] = time.perf_counter() - began
            seconds = [outcome.seconds for outcome in outcomes]
        bare[count] = bare_processes(count, turns, EVALUATIONS // count)
        share = 100 * sum(seconds) / (count * found[count])
        print(
            f"  {count} worker(s): {found[count]:.2f} s, an evaluation {mean(seconds) * 1e3:.0f} ms"
            f", they evaluate {share:.1f} % of the time; {count} bare process(es): "
            f"{bare[count]:.2f} s"
        )
    print(f"  two workers: {found[1] / found[2]:.2f} times one", end="")
    print(f"; two bare processes: {bare[1] / bare[2]:.2f} times one")


def calibrated() -> int:
    """How many turns take ``EVALUATION_S`` here."""
    sample = 200_000
    seconds = []
    for _ in range(5):
        began = time.process_time()
        turn(sample)
        seconds.append(time.process_time() - began)
    return int(sample * EVALUATION_S / min(seconds))


def bare_processes(count: int, turns: int, each: int) -> float:
    """Wall seconds of so many processes with ``each`` evaluations' work, their starts left out."""
    code = (
        "import sys\nfrom throughput import turn\nprint(flush=True)\nsys.stdin.readline()\n"
        f"for _ in range({each}): turn({turns})"
    )
    here = Path(__file__).resolve().parent
    command = [sys.executable, "-c", code]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": here}
    processes = [subprocess.Popen(command, **pipes) for _ in range(count)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    began = time.perf_counter()
    for process in processes:
        process.communicate(b"\n")
    return time.perf_counter() - began


def first() -> None:
    """Print how long the first trial takes once Ray has started."""
    space = digits()
    print(f"first trial\n  goal: at most {FIRST_S:g} s after Ray's own start")
    with tempfile.TemporaryDirectory() as name:
        factory = untrained(Path(name), space)
        began = time.perf_counter()
        with ray_of(WORKERS) as folder:
            started = time.perf_counter()
            times = study(folder, Problem(space), factory, "random", 1)
        print(f"  {times[0][0] - started:.2f} s after Ray's {started - began:.2f} s")


def untrained(path: Path, space: SearchSpace) -> SupernetEvaluatorFactory:
    """The factory of a run whose supernet nobody trained, with images of noise."""
    import torch

    from supernet.model import Supernet
    from supernet.training.checkpoint import (
        Checkpoint,
        save_checkpoint,
        save_tensors,
        weights_hash,
    )

    torch.manual_seed(0)
    folder = RunFolder(path)
    weights = Supernet(space, CLASSES).state_dict()
    images = {
        "images": torch.randn(360, space.spec.channels, *space.spec.image_size),
        "labels": torch.randint(CLASSES, (360,)),
    }
    save_checkpoint(
        folder.supernet, Checkpoint({f"average.{k}": v for k, v in weights.items()}, {})
    )
    save_tensors(folder.val_images, images)
    return SupernetEvaluatorFactory(
        folder=str(path),
        space=json.dumps(space.to_dict()),
        num_classes=CLASSES,
        weights=weights_hash(weights),
        images=weights_hash(images),
    )


def architectures(count: int) -> list[Architecture]:
    """Distinct ones of the default space."""
    import numpy as np

    space = digits()
    rows = space.sample_genes(np.random.default_rng(0), 2 * count)
    return list(dict.fromkeys(space.decode(row) for row in rows))[:count]


@contextmanager
def ray_of(workers: int) -> Iterator[Path]:
    """A local Ray for so many workers, and a folder for it."""
    with tempfile.TemporaryDirectory() as name:
        session = start(ExecutorOptions(workers=workers), Path(name))
        try:
            yield Path(name)
        finally:
            session.close()


def mean(values: Sequence[float]) -> float:
    """Of one or more."""
    return sum(values) / len(values)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samplers", nargs="+", default=["nsga2", "random"])
    parser.add_argument("--trials", type=int, default=5_000)
    parts = ("driver", "workers", "first")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    asked = parser.parse_args()
    if "first" in asked.parts:
        first()
    if "workers" in asked.parts:
        workers()
    if "driver" in asked.parts:
        driver(asked.samplers, asked.trials)


if __name__ == "__main__":
    main()
