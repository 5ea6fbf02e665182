"""Training of one standalone model: the winner from inherited weights, or a net from scratch."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nas.data.augment import Augment, generator_for, shuffled_batches
from nas.display import Display
from nas.evaluator import hits
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
    config, train = run.config.training, run.dataset.train
    augment = Augment(config.augmentation, run.dataset)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=schedule.lr, weight_decay=config.weight_decay
    )
    average = copy.deepcopy(model).eval().requires_grad_(False)
    best, kept, best_state = start_accuracy, 0, copy.deepcopy(model.state_dict())
    batch = min(config.batch_size, len(train))
    steps, step = schedule.epochs * max(len(train) // batch, 1), 0
    for epoch in range(schedule.epochs):
        model.train()
        order = generator_for(run.config.seed, schedule.place, epoch)
        for index, rows_B in enumerate(shuffled_batches(len(train), batch, order)):
            generator = generator_for(run.config.seed, schedule.place, epoch, index)
            images = augment(train.images_NCHW[rows_B], generator)
            loss = run.task.loss(model(images), train.labels_N[rows_B], config.label_smoothing)
            for group in optimiser.param_groups:
                group["lr"] = schedule.lr * _rate(step, steps)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip or math.inf)
            optimiser.step()
            step += 1
            decay = min(EMA_DECAY, (1 + step) / (10 + step))
            torch._foreach_lerp_(
                list(average.parameters()), [p.detach() for p in model.parameters()], 1 - decay
            )
        value = val_accuracy(run, average)
        if value > best:
            best, kept, best_state = value, epoch + 1, copy.deepcopy(average.state_dict())
        on_epoch(epoch + 1, value)
    model.load_state_dict(best_state)
    model.eval()
    return best, kept


def val_accuracy(run: Run, model: nn.Module) -> float:
    """Accuracy on the whole validation split."""
    val = run.dataset.val
    found_N = hits(model.eval(), run.dataset.transform.normalise(val.images_NCHW), val.labels_N)
    return float(found_N.double().mean())


def _rate(step: int, steps: int) -> float:
    """A warm-up over a tenth of the steps, then a cosine."""
    warmup = max(steps // 10, 1)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))
