"""Training of one standalone model: the winner from inherited weights, or a net from scratch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nas.display import Display
from nas.retraining.options import AloneOptions
from nas.retraining.session import training_data, val_judge
from nas.retraining.trainer import AloneTrainer
from nas.run import Run
from supernet.extract import VisionTransformer

FINETUNE_LR_SHARE = 0.1
EMA_DECAY = 0.98


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast a standalone model is trained.

    Attributes:
        epochs: passes over the training images.
        lr: peak learning rate of AdamW, falling as a cosine.
        place: distinguishes the random draws of different trainings of one run.
    """

    epochs: int
    lr: float
    place: int


def finetune(run: Run, model: VisionTransformer, display: Display) -> dict[str, Any]:
    """Continue from inherited weights on train; keep the epoch that is best on val.

    Args:
        run: the run, which gives images and options.
        model: changed in place.
        display: gets a progress bar.

    Returns:
        The pass as it is recorded in ``best.json``.
    """
    config = run.config
    schedule = Schedule(
        epochs=config.finetune.epochs, lr=config.training.lr * FINETUNE_LR_SHARE, place=11
    )
    before = val_accuracy(run, model)
    with display.bar("finetune", schedule.epochs, "epochs") as bar:
        after, kept = train_alone(
            run, model, schedule, lambda epoch, value: bar.at(epoch, f"val {value:.3f}"), before
        )
    display.line(f"fine-tuned: val accuracy {before:.4f} → {after:.4f} (epoch {kept} kept)")
    return {
        "name": "finetune",
        "epochs": schedule.epochs,
        "kept_epoch": kept,
        "lr": schedule.lr,
        "val_before": before,
        "val_after": after,
    }


def train_alone(
    run: Run,
    model: nn.Module,
    schedule: Schedule,
    on_epoch: Callable[[int, float], None],
    start_accuracy: float = -1.0,
) -> tuple[float, int]:
    """Train on train, look at val behind every epoch, keep the best averaged weights.

    Returns:
        The best val accuracy and the epoch it was reached behind (0: the weights given).
    """
    config = run.config.training
    options = AloneOptions(
        epochs=schedule.epochs,
        batch_size=config.batch_size,
        lr=schedule.lr,
        weight_decay=config.weight_decay,
        label_smoothing=config.label_smoothing,
        grad_clip=config.grad_clip,
        ema_decay=EMA_DECAY,
        seed=run.config.seed,
        place=schedule.place,
    )
    judge, done = val_judge(run, next(model.parameters()).device), 0

    def judged(net: nn.Module) -> float:
        nonlocal done
        value, done = judge(net), done + 1
        on_epoch(done, value)
        return value

    trainer = AloneTrainer(
        model,
        training_data(run, config.augmentation),
        run.task,
        options,
        judged,
        start_value=start_accuracy,
    )
    state = trainer.run()
    return state.best_value, state.best_epoch


def val_accuracy(run: Run, model: nn.Module) -> float:
    """Accuracy on the whole validation split."""
    return val_judge(run, torch.device("cpu"))(model)
