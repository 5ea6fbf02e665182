"""Step 5: nothing is called best on a prediction. Front members are extracted, run and measured."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from nas.choosing import choose
from nas.display import Display
from nas.evaluator import hits
from nas.front import Front, Layer, Member, Metric
from nas.hardware.described import as_described
from nas.hardware.profile import HardwareProfile
from nas.limits import limits_of
from nas.measurement.block import Item
from nas.measurement.file import MeasurementFile
from nas.measurement.records import Measurement
from nas.measurement.repeatability import agreement
from nas.objectives import OBJECTIVES, describe_limits
from nas.pareto import non_dominated
from nas.predictors.predictor import LatencyPredictor, Prediction
from nas.proxies import PROXIES
from nas.roofline.columns import DescribedCosts
from nas.run import Run
from nas.runtimes.base import FloatArray
from nas.steps.by_image import Calls, calls_of, metrics_by_image
from nas.steps.energy import measured_energy
from nas.steps.estimated import estimated_metrics
from nas.steps.memory import member_memory
from nas.steps.on_device import measure_for
from nas.steps.profiling import load_predictor
from nas.steps.subnets import features
from nas.study import FinishedTrial, StudyResult
from nas.tasks.statistics import tied, wilson_interval
from nas.version import code_version
from search_spaces.architecture import Architecture
from search_spaces.workload import COUNTING_RULE
from supernet.extract import VisionTransformer
from supernet.model import Supernet, extract
from supernet.training.checkpoint import weights_hash
from supernet.workload import workload


def verify(run: Run, supernet: Supernet, result: StudyResult, display: Display) -> Front:
    """Re-evaluate and re-measure the front, and choose a winner.

    A front that was verified before, for the same trials and weights, is read instead.
    """
    weights = weights_hash(supernet.state_dict())
    wanted = {trial.digest for trial in result.front}
    if run.folder.front.exists():
        front = Front.load(run.folder.front)
        if front.weights == weights and {m.digest for m in front.members} == wanted:
            display.line(f"{len(front.members)} members were verified before")
            return front
    profile = run.profile
    models = {t.digest: extract(supernet, t.architecture).eval() for t in result.front}
    # There is nothing to measure on where the device is only described, or is another machine.
    described = as_described(profile) is not None or run.away
    found = ((digest, calls_of(run, profile, model)) for digest, model in models.items())
    calls = {digest: one for digest, one in found if one is not None}
    measured = {} if described else _measure(run, profile, result.front, models, calls, display)
    slow = {} if described else _measure_slow(run, profile, calls)
    predictor = load_predictor(run, profile)
    correct = _correct(run, models)
    comparable = {digest: predictor.comparable_ms(row) for digest, row in measured.items()}
    by_image = {
        digest: metrics_by_image(run, predictor, one, slow.get(digest))
        for digest, one in calls.items()
    }
    members = [
        _member(run, profile, trial, models[trial.digest], measured, predictor, correct, by_image)
        for trial in result.front
        if described or trial.digest in measured
    ]
    members = _marked(run, members, correct)
    standing = [member for member in members if not member.dominated]
    limits = limits_of(run.config)
    objectives = [OBJECTIVES[name] for name in run.config.search.objectives]
    rule, winner = choose(limits, objectives, standing)
    error = {} if described else agreement(*_latencies(members, comparable)).to_dict()
    front = Front(
        run=run.folder.title,
        created=_now(),
        code_version=code_version(),
        data={
            "name": run.dataset.name,
            "digest": run.dataset.digest,
            "classes": list(run.dataset.class_names),
            "val_images": len(run.dataset.val),
        },
        profile={**profile.to_dict(), "key": profile.key()},
        weights=weights,
        objectives=tuple(
            {"name": o.name, "direction": o.direction, "unit": o.unit, "label": o.label}
            for o in objectives
        ),
        limits=describe_limits(limits),
        members=tuple(sorted(members, key=lambda m: -m.value("accuracy"))),
        winner=winner.digest,
        winner_rule=rule,
        front_error=error,
        counting_rule=COUNTING_RULE,
    )
    front.save(run.folder.front)
    return front


def _measure(
    run: Run,
    profile: HardwareProfile,
    trials: Sequence[FinishedTrial],
    models: dict[str, VisionTransformer],
    calls: Mapping[str, Calls],
    display: Display,
) -> dict[str, Measurement]:
    """Rows of the members; one whose tokens depend on the image runs images that are usual."""
    items: dict[str, Item] = {
        t.digest: (t.architecture, partial(models.__getitem__, t.digest)) for t in trials
    }
    items |= {digest: one.item(one.typical) for digest, one in calls.items()}
    with display.bar("verify", len(trials), "members") as bar:
        rows = measure_for(
            run,
            profile,
            list(items.values()),
            run.folder.front_measurements(profile.key()),
            seed=run.config.seed + 1,
            level_ms=_level_ms(run, profile),
            on_progress=lambda done, total: bar.at(done),
        )
    return {row.digest: row for row in rows}


def _measure_slow(
    run: Run, profile: HardwareProfile, calls: Mapping[str, Calls]
) -> dict[str, Measurement]:
    """Rows of members whose tokens depend on the image, on images that keep many."""
    if not calls:
        return {}
    rows = measure_for(
        run,
        profile,
        [one.item(one.slow) for one in calls.values()],
        run.folder.front_measurements(profile.key(), "p95"),
        seed=run.config.seed + 2,
        level_ms=_level_ms(run, profile),
    )
    return {row.digest: row for row in rows}


def _level_ms(run: Run, profile: HardwareProfile) -> float:
    """The drift level of the profile's own measurements, so that new ones stand on it too."""
    rows = MeasurementFile(run.folder.measurements(profile.key()), profile.key()).measurements()
    return rows[0].reference_level_ms


def _correct(run: Run, models: dict[str, VisionTransformer]) -> dict[str, list[bool]]:
    """Which validation images each extracted model answers rightly."""
    val = run.dataset.val
    images = run.dataset.transform.normalise(val.images_NCHW)
    return {
        digest: [bool(hit) for hit in hits(model, images, val.labels_N)]
        for digest, model in models.items()
    }


def _member(
    run: Run,
    profile: HardwareProfile,
    trial: FinishedTrial,
    model: VisionTransformer,
    measured: dict[str, Measurement],
    predictor: LatencyPredictor,
    correct: dict[str, list[bool]],
    by_image: Mapping[str, Mapping[str, Metric]],
) -> Member:
    architecture = trial.architecture
    costs = run.costs(run.genes([architecture]))
    if isinstance(costs, DescribedCosts):
        on_device = estimated_metrics(costs, profile)
    else:
        row = measured.get(trial.digest)
        guess = predictor.predict(features(run, [row]).features_BF if row else costs.features_BF)
        latency = _believed(run, guess) if row is None else _latency(row, guess)
        on_device = {"latency_ms": latency, "peak_memory_mb": member_memory(run, model, costs)}
        on_device |= {} if run.away else measured_energy(run, profile, model)
    metrics = {
        "accuracy": accuracy_metric(correct[trial.digest], "val", run),
        **on_device,
        **counted(architecture, run.num_classes),
        **by_image.get(trial.digest, {}),
    }
    return Member(
        architecture=architecture,
        trial=trial.number,
        metrics={**metrics, **_derived(metrics, profile.batch), **_scored(trial)},
        layers=trace(architecture, run.num_classes),
        tied=False,
        dominated=False,
    )


def _latency(row: Measurement, guess: Prediction) -> Metric:
    """A measured latency beside what the search believed."""
    return Metric(
        value=row.latency_ms,
        kind="measured",
        low=row.latency_ms - row.iqr_ms / 2,
        high=row.latency_ms + row.iqr_ms / 2,
        n=row.n,
        predicted={
            "value": float(guess.mean_ms_B[0]),
            "low": float(guess.low_ms_B[0]),
            "high": float(guess.high_ms_B[0]),
        },
        source=row.provenance(),
    )


def _believed(run: Run, guess: Prediction) -> Metric:
    """A predicted latency of a machine that is not this one."""
    file = run.hardware_file
    assert file is not None, "a device that is here is measured"
    return Metric(
        value=float(guess.mean_ms_B[0]),
        kind="predicted",
        low=float(guess.low_ms_B[0]),
        high=float(guess.high_ms_B[0]),
        source={
            "profile": file.profile.key(),
            "measured_networks": len(file.rows),
            "machine": file.machine.to_dict(),
        },
    )


def _derived(metrics: dict[str, Metric], batch: int) -> dict[str, Metric]:
    """Metrics that are made of others."""
    known = {name: metric.value for name, metric in metrics.items()}
    given = {**known, "batch": batch}
    made = metrics["latency_ms"].kind
    return {
        o.name: Metric(
            value=float(o.derive(given)), kind=o.kind or made, source={"of": sorted(known)}
        )
        for o in OBJECTIVES
        if o.derive is not None and o.name not in metrics
    }


def _scored(trial: FinishedTrial) -> dict[str, Metric]:
    """Proxies that were searched for, as the search found them: they are seeded."""
    return {
        name: Metric(value=value, kind="measured", source={"of": PROXIES[name].source})
        for name, value in trial.metrics.items()
        if name in PROXIES and not OBJECTIVES[name].free
    }


def accuracy_metric(correct: Sequence[bool], split: str, run: Run) -> Metric:
    """An accuracy with its 95 % interval (Wilson)."""
    interval = wilson_interval(sum(correct), len(correct))
    return Metric(
        value=sum(correct) / len(correct),
        kind="measured",
        low=interval.low,
        high=interval.high,
        n=len(correct),
        source={
            "split": split,
            "data": run.dataset.digest,
            "date": _now(),
            "code_version": code_version(),
        },
    )


def counted(architecture: Architecture, num_classes: int) -> dict[str, Metric]:
    """Parameters and MACs."""
    work = workload(architecture, num_classes)
    source = {"rule": "see counting_rule"}
    return {
        "params": Metric(value=work.params, kind="counted", source=source),
        "macs": Metric(value=work.macs, kind="counted", source=source),
    }


def trace(architecture: Architecture, num_classes: int) -> tuple[Layer, ...]:
    """The layers of an architecture, as stored beside it."""
    return tuple(
        Layer(
            name=layer.name,
            op=layer.op,
            tokens_in=layer.tokens_in,
            tokens_out=layer.tokens_out,
            grid=layer.grid,
            params=layer.params,
            macs=layer.macs,
        )
        for layer in workload(architecture, num_classes).layers
    )


def _marked(run: Run, members: list[Member], correct: dict[str, list[bool]]) -> list[Member]:
    """Mark statistical ties with the most accurate, and members that measuring dominates."""
    objectives = [OBJECTIVES[name] for name in run.config.search.objectives]
    values = np.array([[m.value(o.name) for o in objectives] for m in members])
    standing = non_dominated(values, [o.direction for o in objectives])
    best = max(members, key=lambda member: member.value("accuracy"))
    return [
        replace(
            member,
            tied=tied(correct[member.digest], correct[best.digest]),
            dominated=not bool(standing[index]),
        )
        for index, member in enumerate(members)
    ]


def _latencies(
    members: Sequence[Member], comparable: dict[str, float]
) -> tuple[FloatArray, FloatArray]:
    """Predicted and measured latencies, the latter in the terms of the predictions."""
    found = [(m.metrics["latency_ms"].predicted or {})["value"] for m in members]
    return np.array(found), np.array([comparable[m.digest] for m in members])


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def model_weights(model: torch.nn.Module) -> str:
    """Hash of a standalone model's weights."""
    return weights_hash(model.state_dict())
