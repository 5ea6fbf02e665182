"""Step 4: the study, evaluated in workers that hold the weights and the validation images."""

from __future__ import annotations

import json

import numpy as np

from nas.config import RunConfig
from nas.display import Display, duration
from nas.evaluation import EvaluationStore
from nas.evaluator import SupernetEvaluatorFactory
from nas.executors import ExecutorOptions, open_executor
from nas.hardware.profile import HardwareProfile
from nas.limits import check_reachable, end_rows, limits_of, probe_rows
from nas.objectives import OBJECTIVES
from nas.pareto import Box
from nas.problem import SupernetProblem
from nas.run import Run
from nas.runtimes.base import FloatArray
from nas.steps.profiling import load_predictor
from nas.study import Budget, FinishedTrial, StudyResult, StudySpec, run_study
from nas.study.mirror import Mirror
from search_spaces.architecture import Value
from search_spaces.errors import UserError
from supernet.model import Supernet
from supernet.training.checkpoint import save_tensors, weights_hash


def search(run: Run, supernet: Supernet, display: Display) -> StudyResult:
    """Run, or go on with, the study of a run.

    Raises:
        UserError: no architecture can meet the limits, the predictor is too poor, or the study
            in the folder is another one.
    """
    profile, weights = run.profile, weights_hash(supernet.state_dict())
    predictor = load_predictor(run, profile)
    predictor.require_good_enough(run.config.profile.accept_poor, "profile.accept_poor=true")
    problem = SupernetProblem(run, profile, predictor, weights)
    limits = limits_of(run.config)
    reachable = problem.columns(probe_rows(run.offered, run.config.seed))
    check_reachable(limits, reachable, _advice(run))
    images = write_val_images(run)
    config = run.config
    assert run.source is not None
    factory = SupernetEvaluatorFactory(
        folder=str(run.source.path.resolve()),
        space=json.dumps(run.space.to_dict()),
        num_classes=run.num_classes,
        weights=weights,
        images=images,
    )
    options = executor_options(config)
    spec = StudySpec(
        objectives=tuple(OBJECTIVES[name] for name in config.search.objectives),
        limits=limits,
        sampler=config.sampler.name,
        sampler_options=config.sampler.options,
        seed=config.seed,
        batch_size=config.search.batch_size,
        tried_first=_ends(run),
        box=_box(config.search.objectives, reachable),
    )
    _announce(run, profile, display)
    with display.bar("search", config.search.trials, "trials") as bar:

        def on_trial(trial: FinishedTrial) -> None:
            value = trial.hypervolume
            bar.at(trial.number + 1, "" if value is None else f"hypervolume {value:.4f}")

        result = run_study(
            problem,
            spec,
            executor=lambda: open_executor(config.executor.name, factory, options, run.folder.path),
            store=EvaluationStore(run.source.evaluations),
            journal=run.folder.study,
            budget=Budget(trials=config.search.trials, minutes=config.search.minutes),
            on_trial=on_trial,
            mirror=_mirror(run),
        )
    _report(run, result, display)
    return result


def executor_options(config: RunConfig) -> ExecutorOptions:
    """How a run evaluates."""
    return ExecutorOptions(
        workers=config.executor.workers,
        timeout_s=config.executor.timeout_s,
        retries=config.executor.retries,
        address=config.executor.address,
        threads=config.executor.threads,
    )


def _mirror(run: Run) -> Mirror | None:
    address = run.config.search.mirror
    return None if address is None else Mirror(address, run.folder.path.name)


def _advice(run: Run) -> str:
    """How to go on with what was trained: limits are part of a run's identity."""
    assert run.source is not None
    return (
        f"; for other limits: formfinder search supernet={run.source.path} name=NAME "
        "constraints.METRIC=LIMIT"
    )


def _ends(run: Run) -> tuple[dict[str, Value], ...]:
    """The largest and smallest members of every patch size: a front should reach them."""
    return tuple(run.offered.params(row) for row in end_rows(run.offered))


def _box(objectives: list[str], columns: dict[str, FloatArray]) -> Box:
    """A fixed scale for the hypervolume: accuracy in [0, 1], costs between the space's ends."""
    ends = {name: (float(values.min()), float(values.max())) for name, values in columns.items()}
    pairs = [ends.get(name, (0.0, 1.0)) for name in objectives]
    minimised = [OBJECTIVES[name].direction == "min" for name in objectives]
    return Box(
        tuple(low if down else high for (low, high), down in zip(pairs, minimised, strict=True)),
        tuple(high if down else low for (low, high), down in zip(pairs, minimised, strict=True)),
    )


def write_val_images(run: Run) -> str:
    """Write the decoded validation images, once; their hash."""
    assert run.source is not None
    val = run.dataset.val
    tensors = {
        "images": run.dataset.transform.normalise(val.images_NCHW),
        "labels": val.labels_N,
    }
    if not run.source.val_images.exists():
        save_tensors(run.source.val_images, tensors)
    return weights_hash(tensors)


def _announce(run: Run, profile: HardwareProfile, display: Display) -> None:
    genes = run.space.sample_genes(np.random.default_rng(0), 256)
    macs = float(run.costs(genes).macs_B.mean()) * len(run.dataset.val)
    seconds = run.config.search.trials * (macs / 20e9 + 0.02)
    display.line(
        f"{run.config.search.trials} trials with {run.config.sampler.name} on "
        f"{run.config.executor.name}: about {duration(max(seconds, 1))} once workers have started"
    )
    display.line(f"for {profile.key()}")


def _report(run: Run, result: StudyResult, display: Display) -> None:
    failed = sum(trial.state == "failed" for trial in result.trials)
    again = f", {result.resumed} of them from before" if result.resumed else ""
    value = "" if result.hypervolume is None else f", hypervolume {result.hypervolume:.4f}"
    display.line(
        f"{len(result.trials)} trials{again}, {failed} failed, "
        f"{len(result.front)} on the front{value}"
    )
    if result.stopped == "interrupted":
        raise KeyboardInterrupt
    if not result.front:
        raise UserError(
            "search: no trial met the limits; give it more trials (search.trials) or wider limits"
        )
