"""A hand-made net to compare with: DeiT-like, of the winner's measured latency, trained alone."""

from __future__ import annotations

import copy
import time
from functools import partial
from typing import Any

from nas.display import Display, duration
from nas.front import Front
from nas.hardware.profile import HardwareProfile
from nas.measurement.protocol import measure_models
from nas.run import Run
from nas.run_folder import read_json
from nas.steps.finetuning import Schedule, train_alone
from search_spaces.architecture import Architecture, Block, OpSetting, Stage
from supernet.extract import VisionTransformer, build_model

MLP_RATIO = 4
DEPTHS = (2, 3, 4, 6, 8)


def train_baselines(run: Run, front: Front, display: Display) -> list[dict[str, Any]]:
    """Train a DeiT-like net of the winner's latency for about the supernet's time.

    Returns:
        One row: name, architecture, measured latency, val accuracy, seconds of training.
    """
    winner = front.member(front.winner)
    net, latency_ms = _of_latency(run, winner.value("latency_ms"))
    model = build_model(net, run.num_classes)
    seconds = float(read_json(run.folder.seconds).get("train", 60.0))
    epochs = _epochs(run, model, seconds)
    display.line(
        f"baseline: {net.depth} layers of width {net.stages[0].width}, {latency_ms:.3f} ms, "
        f"{epochs} epochs, about {duration(seconds)}"
    )
    schedule = Schedule(epochs=epochs, lr=run.config.training.lr, place=12)
    with display.bar("baseline", epochs, "epochs") as bar:
        accuracy, _ = train_alone(
            run, model, schedule, lambda epoch, value: bar.at(epoch, f"val {value:.3f}")
        )
    display.line(f"baseline: val accuracy {accuracy:.4f}, winner {winner.value('accuracy'):.4f}")
    return [
        {
            "name": f"DeiT-like, {net.depth} × {net.stages[0].width}",
            "architecture": net.to_dict(),
            "latency_ms": latency_ms,
            "accuracy": accuracy,
            "train_seconds": seconds,
        }
    ]


def _of_latency(run: Run, target_ms: float) -> tuple[Architecture, float]:
    """The DeiT-like net whose measured latency is nearest to the target."""
    profile: HardwareProfile = run.profile
    nets = [
        _deit_like(run, patch, depth, width)
        for patch in run.space.spec.patch_size
        for depth in DEPTHS
        for width in sorted(run.space.spec.stages[0].width)
    ]
    rows = measure_models(
        [(net, partial(_fresh, net, run.num_classes)) for net in nets],
        profile,
        run.folder.path / "profiles" / f"{profile.key()}.baselines.jsonl",
        seed=run.config.seed,
    )
    nearest = min(rows, key=lambda row: abs(row.latency_ms - target_ms))
    return Architecture.from_dict(nearest.architecture), nearest.latency_ms


def _fresh(net: Architecture, num_classes: int) -> VisionTransformer:
    return build_model(net, num_classes).eval()


def _deit_like(run: Run, patch: int, depth: int, width: int) -> Architecture:
    """Every layer alike: softmax, MLP ratio 4, no reduction, a learned position table."""
    spec = run.space.spec
    block = Block(
        attention=OpSetting("softmax"),
        heads=max(width // spec.head_dim, 1),
        head_dim=spec.head_dim,
        mlp_hidden=MLP_RATIO * width,
    )
    return Architecture(
        image_size=spec.image_size,
        channels=spec.channels,
        patch_size=patch,
        position=OpSetting("table"),
        stages=(Stage(width=width, blocks=(block,) * depth),),
    )


def _epochs(run: Run, model: VisionTransformer, seconds: float) -> int:
    """How many epochs fit the time, from one timed epoch of a copy."""
    trial = copy.deepcopy(model)
    started = time.perf_counter()
    train_alone(run, trial, Schedule(epochs=1, lr=1e-4, place=13), lambda epoch, value: None)
    return max(round(seconds / (time.perf_counter() - started)), 1)
