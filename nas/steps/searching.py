"""Step 4: the study, evaluated in workers that hold the weights and the validation images."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np

from nas.config import RunConfig, SearchConfig
from nas.display import Display
from nas.evaluation import EvaluationStore
from nas.evaluator import SupernetEvaluatorFactory
from nas.executors import ExecutorOptions, open_executor
from nas.limits import COUNTED, check_reachable, end_rows, limits_of, probe_rows
from nas.objectives import OBJECTIVES
from nas.pareto import Box
from nas.problem import FIRST_METRIC, SupernetProblem
from nas.proposing.question import Scores
from nas.proxies import PROXIES
from nas.proxies.maths.columns import IMAGES, Sample, row_scores
from nas.proxies.maths.evaluating import with_proxies
from nas.run import Run
from nas.runtimes.base import FloatArray
from nas.starting import started_with
from nas.steps.batches import proposed_at_once
from nas.steps.profiling import load_predictor
from nas.steps.proxy_words import about_proxies
from nas.steps.search_words import announce_search, report_search, watched
from nas.study import Budget, FinishedTrial, FirstLook, Prefilter, StudyResult, StudySpec, run_study
from nas.study.mirror import Mirror
from search_spaces.architecture import Value
from search_spaces.errors import bad_value
from supernet.model import Supernet
from supernet.training.checkpoint import save_tensors, weights_hash


def search(
    run: Run,
    supernet: Supernet,
    display: Display,
    on_trial: Callable[[FinishedTrial], None] = lambda trial: None,
) -> StudyResult:
    """Run, or go on with, the study of a run. ``on_trial`` is called with each new trial.

    Raises:
        UserError: no architecture can meet the limits, the predictor is too poor, or the study
            in the folder is another one.
    """
    profile, weights = run.profile, weights_hash(supernet.state_dict())
    predictor = load_predictor(run, profile)
    predictor.require_good_enough(run.config.profile.accept_poor, "profile.accept_poor=true")
    limits = limits_of(run.config)
    problem = SupernetProblem(run, profile, predictor, weights, limits)
    check_reachable(limits, run.offered, problem.columns, run.config.seed, _advice(run))
    reachable = problem.columns(probe_rows(run.offered, run.config.seed))
    images = write_val_images(run)
    config = run.config
    assert run.source is not None
    factory = SupernetEvaluatorFactory(
        folder=str(run.source.path.resolve()),
        space=json.dumps(run.space.to_dict()),
        num_classes=run.num_classes,
        weights=weights,
        images=images,
        first_look=problem.first_look,
    )
    options = executor_options(config)
    spec = StudySpec(
        objectives=tuple(OBJECTIVES[name] for name in config.search.objectives),
        limits=limits,
        sampler=config.sampler.name,
        sampler_options=config.sampler.options,
        seed=config.seed,
        batch_size=proposed_at_once(run),
        tried_first=_tried_first(run, display),
        prefilter=prefilter_of(config.search),
        box=_box(config.search, reachable),
    )
    first_look = _first_look(run, problem, spec)
    store = EvaluationStore(run.source.evaluations)
    announce_search(run, store, weights, display)
    for line in about_proxies(run):
        display.line(line)
    with watched(run, display) as show:

        def told(trial: FinishedTrial) -> None:
            show(trial)
            on_trial(trial)

        result = run_study(
            problem,
            spec,
            executor=lambda: open_executor(
                config.executor.name,
                with_proxies(factory, [m.name for m in spec.metrics if not m.free], problem.split),
                options,
                run.folder.path,
            ),
            store=store,
            journal=run.folder.study,
            budget=Budget(
                trials=config.search.trials,
                minutes=config.search.minutes,
                patience=config.search.patience,
            ),
            on_trial=told,
            first_look=first_look,
            mirror=_mirror(run),
            scores=_scores(run, problem, store),
        )
    report_search(run, result, limits, first_look, display)
    return result


def needs_profile(config: RunConfig) -> bool:
    """Whether a limit or the reference point is about what only the profile tells."""
    named = [limit.objective for limit in limits_of(config)]
    named += [OBJECTIVES[name] for name, v in config.search.reference.items() if v is not None]
    return any(metric.free and metric.name not in COUNTED for metric in named)


def check_before_training(run: Run) -> None:
    """Hold limits and reference point against measured profiles, before weights are trained.

    Raises:
        UserError: no architecture can meet the limits, or the reference point is beyond reach.
    """
    limits = limits_of(run.config)
    for one in run.searches:
        predictor = load_predictor(one, one.profile)
        problem = SupernetProblem(one, one.profile, predictor, "", limits)
        on = "" if one.folder.device is None else f" (hardware={one.folder.device})"
        check_reachable(limits, one.offered, problem.columns, one.config.seed, on)
        _box(one.config.search, problem.columns(probe_rows(one.offered, one.config.seed)))


def executor_options(config: RunConfig) -> ExecutorOptions:
    """How a run evaluates."""
    return ExecutorOptions(
        workers=config.executor.workers,
        timeout_s=config.executor.timeout_s,
        retries=config.executor.retries,
        address=config.executor.address,
        threads=config.executor.threads,
    )


def prefilter_of(search: SearchConfig) -> Prefilter | None:
    """What drops proposals before they are paid for.

    Raises:
        UserError: its proxy or share cannot be used.
    """
    asked = search.prefilter
    return None if asked.proxy is None else Prefilter(asked.proxy, asked.keep)


def _scores(run: Run, problem: SupernetProblem, store: EvaluationStore) -> Scores:
    """Proxies on the first validation images, as `formfinder proxies` scores."""
    val = run.dataset.val
    images = run.dataset.transform.normalise(val.images_NCHW[:IMAGES])
    sample = Sample.first_of(images, val.labels_N, problem.split, run.num_classes)
    return row_scores(run.offered, sample, store)


def _mirror(run: Run) -> Mirror | None:
    address = run.config.search.mirror
    return None if address is None else Mirror(address, run.folder.title)


def _advice(run: Run) -> str:
    """How to go on with what was trained: limits are part of a run's identity."""
    assert run.source is not None
    return (
        f"; for other limits: formfinder search supernet={run.source.path} name=NAME "
        "constraints.METRIC=LIMIT"
    )


def _first_look(run: Run, problem: SupernetProblem, spec: StudySpec) -> FirstLook | None:
    """None where the split is too small, or more than accuracy is paid for."""
    look = FirstLook(
        metric=FIRST_METRIC,
        images=problem.first_look,
        total=len(run.dataset.val),
        key=problem.first_key,
    )
    paid = [metric for metric in spec.metrics if not metric.free]
    return look if look.images and look.usable(spec.objectives, paid) else None


def _tried_first(run: Run, display: Display) -> tuple[dict[str, Value], ...]:
    """The ends of every patch size, which a front should reach, and what is known to be good."""
    rows = [*end_rows(run.offered), *map(run.offered.encode, started_with(run, display))]
    return tuple(run.offered.params(row) for row in rows)


def _box(search: SearchConfig, columns: dict[str, FloatArray]) -> Box | None:
    """A fixed scale for the hypervolume: accuracy in [0, 1], costs between the space's ends.

    None where an objective is a proxy: what it can reach is not known before trials.

    Raises:
        UserError: a corner that was asked for is better than anything that can be reached.
    """
    if any(name in PROXIES and name not in columns for name in search.objectives):
        for name, asked in search.reference.items():
            if asked is not None:
                raise bad_value(f"search.reference.{name}", asked, "null beside a proxy")
        return None
    ideal, worst = [], []
    for name in search.objectives:
        values = columns.get(name, np.array([0.0, 1.0]))
        low, high = float(values.min()), float(values.max())
        down = OBJECTIVES[name].direction == "min"
        best, asked = low if down else high, search.reference.get(name)
        if asked is not None and (asked <= best if down else asked >= best):
            than = "more" if down else "less"
            allowed = f"{than} than the best reachable value, about {best:.4g}"
            raise bad_value(f"search.reference.{name}", asked, allowed)
        ideal.append(best)
        worst.append((high if down else low) if asked is None else float(asked))
    return Box(tuple(ideal), tuple(worst))


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
