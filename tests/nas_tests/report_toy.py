"""A finished run made by hand: a real study of a toy problem, a real predictor."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nas.evaluation import EvaluationKey, EvaluationStore
from nas.executors import Arrays
from nas.executors.in_process import InProcess
from nas.front import Front, Layer, Member, Metric
from nas.measurement.records import Measurement
from nas.measurement.slot import Slot
from nas.objectives import OBJECTIVES, Limit
from nas.predictors.family import FAMILIES
from nas.predictors.fit import fit_predictor
from nas.run_folder import RunFolder, write_json
from nas.study import Budget, FinishedTrial, StudySpec, read_study, run_study
from nas.tasks.statistics import wilson_interval
from search_spaces.architecture import NONE, Architecture, Block, OpSetting, Stage
from search_spaces.space import SearchSpace, Suggestion, Trial
from search_spaces.workload import COUNTING_RULE

IMAGES = 360
PROFILE: dict[str, Any] = {
    "name": "cpu",
    "device": "cpu",
    "runtime": "onnxruntime",
    "precision": "fp32",
    "threads": 1,
    "batch": 8,
    "image_size": [16, 16],
    "channels": 1,
    "key": "cpu_onnxruntime_fp32_threads1_batch8_1x16x16",
}
MACHINE: dict[str, Any] = {
    "processor": "Imaginary 7 Processor @ 3.0 GHz",
    "cores": 2,
    "memory_mb": 16_000,
    "system": "Linux x86_64",
    "governor": "unknown",
    "threads": 1,
    "versions": {"python": "3.11.9", "torch": "2.15.0", "onnxruntime": "1.31.1"},
    "date": "2026-11-20T10:00:00+00:00",
}
ATTENTIONS = (
    OpSetting("softmax"),
    OpSetting.of("window", size=2),
    OpSetting.of("hilo", alpha=0.5, window=2),
    OpSetting("separable"),
    NONE,
)
REDUCTIONS = (NONE, OpSetting.of("tome", keep=0.75), OpSetting.of("evit", keep=0.7))
SPACE: dict[str, Any] = {
    "image_size": [16, 16],
    "channels": 1,
    "head_dim": 16,
    "patch_size": [2, 4],
    "stages": [
        {
            "width": [32, 48, 64],
            "depth": [2, 3, 4, 5],
            "heads": [1, 2, 3, 4],
            "mlp_ratio": [1, 2, 3],
            "attention": [
                "softmax",
                {"op": "window", "size": 2},
                {"op": "hilo", "alpha": 0.5, "window": 2},
                "separable",
                "none",
            ],
            "reduction": ["none", {"op": "tome", "keep": 0.75}, {"op": "evit", "keep": 0.7}],
        }
    ],
}


def architecture(width: int, layers: Sequence[tuple[int, int, int, int]], patch: int = 4) -> Any:
    """Layers are (attention, heads, MLP ratio, reduction), the first and last as indices."""
    blocks = []
    for attention, heads, ratio, reduction in layers:
        setting = ATTENTIONS[attention]
        heads = 0 if setting == NONE else heads
        blocks.append(
            Block(
                attention=setting,
                heads=heads,
                head_dim=16 if heads else 0,
                mlp_hidden=ratio * width,
                reduction=REDUCTIONS[reduction],
            )
        )
    stage = Stage(width=width, blocks=tuple(blocks))
    return Architecture(image_size=(16, 16), channels=1, patch_size=patch, stages=(stage,))


def trace(candidate: Architecture) -> tuple[Layer, ...]:
    """A trace such as the supernet's workload writes it, by rough formulas."""
    tokens = (16 // candidate.patch_size) ** 2
    width = candidate.stages[0].width
    side = 16 // candidate.patch_size
    made = [
        _row("embedding", "conv", tokens, tokens, (side, side), candidate.patch_size**2 * width)
    ]
    for index, (_, block) in enumerate(candidate.blocks()):
        path, left = f"stages.0.blocks.{index}", tokens
        if block.reduction != NONE:
            left = math.ceil(tokens * block.reduction["keep"])
        attention = 4 * width * block.inner
        made.append(
            _row(f"{path}.attention", str(block.attention), tokens, tokens, None, attention)
        )
        if left != tokens:
            made.append(_row(f"{path}.reduction", str(block.reduction), tokens, left, None, 0))
        made.append(_row(f"{path}.mlp", "mlp", left, left, None, 2 * width * block.mlp_hidden))
        if index == 0:
            made.append(_row("position", "peg", left, left, None, 9 * width))
        tokens = left
    return (*made, _row("head", "linear", tokens, tokens, None, 10 * width))


def _row(
    name: str, op: str, before: int, after: int, grid: tuple[int, int] | None, params: int
) -> Layer:
    return Layer(
        name=name,
        op=op,
        tokens_in=before,
        tokens_out=after,
        grid=grid,
        params=params,
        macs=params * after + before * after,
    )


def metrics_of(candidate: Architecture) -> dict[str, float]:
    layers = trace(candidate)
    params, macs = sum(row.params for row in layers), sum(row.macs for row in layers)
    return {
        "latency_ms": 0.035 + macs / 9e6 + 0.012 * len(layers),
        "peak_memory_mb": params * 4e-6 + candidate.stages[0].width * layers[0].tokens_in * 2e-5,
        "params": float(params),
        "macs": float(macs),
    }


def accuracy_of(candidate: Architecture) -> float:
    macs = metrics_of(candidate)["macs"]
    noise = int(candidate.digest()[:4], 16) / 0xFFFF - 0.5
    mixing = sum(block.attention != NONE for _, block in candidate.blocks()) / candidate.depth
    return min(0.992, 0.99 - 0.35 * math.exp(-macs / 4e5) - 0.12 * (1 - mixing) + 0.02 * noise)


@dataclass(frozen=True)
class Problem:
    space_digest: str = "report-toy"
    identity: Mapping[str, Any] = field(default_factory=lambda: {"weights": "w0"})
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def space(self) -> SearchSpace:
        from supernet.operators import all_cards

        return SearchSpace(SPACE, all_cards())

    def suggest(self, trial: Trial) -> Suggestion:
        return self.space.suggest(trial)

    def columns(self, genes_BG: Any) -> dict[str, Any]:
        rows = self.free([self.space.decode(row) for row in genes_BG])
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def free(self, architectures: Sequence[Architecture]) -> list[dict[str, float]]:
        return [metrics_of(candidate) for candidate in architectures]

    def key(self, candidate: Architecture, metric: str) -> EvaluationKey:
        digest = candidate.digest()
        return EvaluationKey(weights="w0", architecture=digest, metric=metric, split="val")


@dataclass(frozen=True)
class Factory:
    fails: int = 0

    def shared(self) -> Arrays:
        return {}

    def build(self, shared: Arrays) -> Evaluator:
        return Evaluator(self.fails)


@dataclass
class Evaluator:
    fails: int

    def evaluate(self, candidate: Architecture) -> dict[str, float]:
        if int(candidate.digest()[:2], 16) < self.fails:
            raise ArithmeticError("made to fail")
        return {"accuracy": accuracy_of(candidate)}


def objectives() -> tuple[dict[str, str], ...]:
    names = ("accuracy", "latency_ms", "peak_memory_mb")
    fields = ("name", "label", "unit", "direction")
    return tuple({f: getattr(OBJECTIVES[name], f) for f in fields} for name in names)


def search(folder: RunFolder, trials: int = 60, fails: int = 0, limit: float | None = None) -> None:
    """A real study, in process."""
    limits = () if limit is None else (Limit(OBJECTIVES["latency_ms"], limit),)
    run_study(
        Problem(),
        StudySpec(
            objectives=tuple(OBJECTIVES[o["name"]] for o in objectives()),
            limits=limits,
            sampler_options={"population_size": 20},
        ),
        executor=lambda: InProcess(Factory(fails)),
        store=EvaluationStore(folder.evaluations),
        journal=folder.study,
        budget=Budget(trials=trials),
    )


def member_of(candidate: Architecture, trial: int = 0, *, tied: bool, dominated: bool) -> Member:
    rng = np.random.default_rng(int(candidate.digest()[:8], 16))
    free, accuracy = metrics_of(candidate), accuracy_of(candidate)
    right = round(accuracy * IMAGES)
    bounds = wilson_interval(right, IMAGES)
    latency = free["latency_ms"] * float(np.exp(rng.normal(0, 0.04)))
    memory = free["peak_memory_mb"] * 1.01
    source = {"profile": PROFILE["key"], "machine": MACHINE, "date": MACHINE["date"]}
    return Member(
        architecture=candidate,
        trial=trial,
        metrics={
            "accuracy": Metric(
                value=right / IMAGES,
                kind="measured",
                low=bounds.low,
                high=bounds.high,
                n=IMAGES,
                predicted={"value": accuracy},
                source={"split": "val"},
            ),
            "latency_ms": Metric(
                value=latency,
                kind="measured",
                low=latency * 0.98,
                high=latency * 1.03,
                n=160,
                predicted={"value": free["latency_ms"]},
                source=source,
            ),
            "peak_memory_mb": Metric(
                value=memory, kind="measured", predicted={"value": free["peak_memory_mb"]}
            ),
            "params": Metric(value=free["params"], kind="counted"),
            "macs": Metric(value=free["macs"], kind="counted"),
        },
        layers=trace(candidate),
        tied=tied,
        dominated=dominated,
    )


def front_of(trials: Sequence[FinishedTrial], limits: Mapping[str, float] | None = None) -> Front:
    """The verified front of a study; the third member plays the dominated one."""
    members = []
    for place, trial in enumerate(trials):
        members.append(
            member_of(trial.architecture, trial.number, tied=place < 2, dominated=place == 2)
        )
    members.sort(key=lambda member: -member.value("accuracy"))
    return Front(
        run="digits-cpu-s0",
        created="2026-11-20T10:12:00+00:00",
        code_version="0.1.0",
        data={"name": "digits", "digest": "d1g175", "classes": 10, "val_images": IMAGES},
        profile=PROFILE,
        weights="5ca1ab1e" * 8,
        objectives=objectives(),
        limits=limits or {},
        members=tuple(members),
        winner=members[len(members) // 2].digest,
        winner_rule="knee",
        front_error={"mape": 0.031, "spearman": 0.985, "kendall_tau": 0.92, "n": len(members)},
        counting_rule=COUNTING_RULE,
    )


def measurement(candidate: Architecture, rng: np.random.Generator) -> Measurement:
    true = metrics_of(candidate)["latency_ms"]
    slots = []
    for _ in range(4):
        ms = true * float(np.exp(rng.normal(0, 0.02)))
        slots.append(
            Slot(
                median_ms=ms, min_ms=ms * 0.97, p90_ms=ms * 1.05, iqr_ms=ms * 0.03, n=40, attempts=1
            )
        )
    return Measurement.of(
        candidate,
        slots,
        drifts=[1.0] * 4,
        floor_drift=1.0,
        max_relative_iqr=0.1,
        profile=PROFILE["key"],
        reference_ms=1.0,
        reference_level_ms=1.0,
        clock="toy",
        date=MACHINE["date"],
        machine=MACHINE,
    )


def profile(folder: RunFolder, trials: Sequence[FinishedTrial]) -> None:
    """A predictor on two features, and the memory file."""
    rng = np.random.default_rng(0)
    seen = {trial.digest: trial.architecture for trial in trials}
    candidates = list(seen.values())[:40]
    features = [[metrics_of(c)["macs"], float(len(trace(c)))] for c in candidates]
    measured = [measurement(candidate, rng) for candidate in candidates]
    made = fit_predictor(
        measured, np.array(features), ["macs", "layers"], families=[FAMILIES["linear"]]
    )
    write_json(folder.predictor(PROFILE["key"]), made.to_dict())
    rows = [
        {
            "digest": candidate.digest(),
            "predicted_mb": metrics_of(candidate)["peak_memory_mb"],
            "measured_mb": metrics_of(candidate)["peak_memory_mb"] * 1.01,
        }
        for candidate in candidates
    ]
    report = {"mape": 0.0099, "spearman": 1.0, "kendall_tau": 1.0, "n": len(rows)}
    entry = {"rows": rows, "report": report}
    write_json(folder.memory, {"profiles": {"another": {}, PROFILE["key"]: entry}})


def small_things(folder: RunFolder) -> None:
    """Training log, seconds, configuration, space, best.json."""
    lines = []
    for epoch in range(1, 31):
        fall = math.exp(-epoch / 8)
        row: dict[str, float] = {
            "epoch": epoch,
            "teacher_loss": 0.5 + 1.8 * fall,
            "student_loss": 0.7 + 1.6 * fall,
            "images_per_s": 2400.0,
            "seconds": 4.1,
        }
        if epoch % 3 == 0:
            row |= {"largest_accuracy": 0.985 - 0.5 * fall, "smallest_accuracy": 0.93 - 0.6 * fall}
        lines.append(json.dumps(row) + "\n")
    folder.training_log.write_text("".join(lines))
    steps = {"train": 148.2, "profile": 61.0, "search": 95.4, "verify": 20.1, "export": 7.7}
    write_json(folder.seconds, steps)
    folder.config.write_text("seed: 0\nsearch:\n  trials: 60\ntraining:\n  epochs: 30\n")
    write_json(folder.space, {"cardinality": 412_318_560_019, "digest": "5bace"})
    write_json(folder.best, {"schema_version": 1, "metrics": {"test_accuracy": {"value": 0.9694}}})


def finished_run(
    path: Path, trials: int = 60, *, fails: int = 0, limit: float | None = None
) -> Any:
    """A run folder with everything in it."""
    path.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(path)
    search(folder, trials, fails, limit)
    study = read_study(folder.study)
    limits = {} if limit is None else {"latency_ms": limit}
    front_of(study.front, limits).save(folder.front)
    profile(folder, study.trials)
    small_things(folder)
    return folder
