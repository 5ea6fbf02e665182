"""The loop that trains one model alone: val decides what is kept, and a kill loses one epoch.

Every draw depends on the seed and the step alone, so a training that continues from the checkpoint
of an epoch reaches the same weights as one that was never stopped.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.data.augment import generator_for, shuffled_batches
from nas.retraining.groups import learning_rate_share, parameter_groups
from nas.retraining.options import AloneOptions
from nas.retraining.precision import DTYPES
from nas.retraining.state import State, load_state, save_state
from supernet.training.loop import Loss, NonFiniteLossError, TrainingData


@dataclass(frozen=True, slots=True)
class StepNote:
    """What a progress display is told behind every step."""

    step: int
    steps: int
    loss: float
    val: float | None


class AloneTrainer:
    """Trains one model.

    Args:
        model: changed in place.
        data: what is learned from.
        task: its losses.
        options: how.
        judge: the accuracy on val of a model in eval mode.
        teacher: normalised images ``(B, C, H, W)`` → logits ``(B, K)``; None: labels alone.
        checkpoint: replaced behind every epoch, and continued from; None: nothing is kept.
        identity: what the training is; a checkpoint of another one is refused.
        start_value: val accuracy of the model as given; kept unless an epoch is better.
        on_step: told behind every step.

    Raises:
        UserError: the checkpoint is damaged or of another training.
    """

    def __init__(
        self,
        model: nn.Module,
        data: TrainingData,
        task: Loss,
        options: AloneOptions,
        judge: Callable[[nn.Module], float],
        *,
        teacher: Callable[[Tensor], Tensor] | None = None,
        checkpoint: Path | None = None,
        identity: Mapping[str, Any] | None = None,
        start_value: float = -1.0,
        on_step: Callable[[StepNote], None] = lambda note: None,
    ) -> None:
        self.model, self.data, self.task, self.options = model, data, task, options
        self.judge, self.teacher, self.on_step = judge, teacher, on_step
        self.path, self.identity = checkpoint, dict(identity or {})
        groups = parameter_groups(model, options.weight_decay, options.layer_decay)
        self.optimiser = torch.optim.AdamW(groups, lr=options.lr)
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.device = next(model.parameters()).device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=options.precision == "fp16")
        self.state = State(best_value=start_value, best=copy.deepcopy(model.state_dict()))
        if checkpoint is not None and checkpoint.exists():
            load_state(checkpoint, self)

    @property
    def batch_size(self) -> int:
        """Images of a step; never more than there are."""
        return min(self.options.batch_size, len(self.data.labels_N))

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch; a last, partial one is left out where there is a full one."""
        return max(len(self.data.labels_N) // self.batch_size, 1)

    @property
    def steps(self) -> int:
        """Steps of the whole schedule."""
        return self.steps_per_epoch * self.options.epochs

    def run(self) -> State:
        """Train to the end of the schedule and put the best weights on val into the model."""
        while self.state.epoch < self.options.epochs:
            self._epoch(self.state.epoch)
            self.state.value = self.judge(self.average)
            self.state.epoch += 1
            if self.state.value > self.state.best_value:
                self.state.best_value, self.state.best_epoch = self.state.value, self.state.epoch
                self.state.best = copy.deepcopy(self.average.state_dict())
            if self.path is not None:
                save_state(self.path, self)
        self.model.load_state_dict(self.state.best)
        self.model.eval()
        return self.state

    def _epoch(self, epoch: int) -> None:
        self.model.train()
        seed, place = self.options.seed, self.options.place
        order = generator_for(seed, place, epoch)
        batches = shuffled_batches(len(self.data.labels_N), self.batch_size, order)
        for index, rows_B in enumerate(batches):
            generator = generator_for(seed, place, epoch, index)
            images = self.data.augment(self.data.images_NCHW[rows_B].to(self.device), generator)
            labels = self.data.labels_N[rows_B].to(self.device)
            images, targets = self.data.mix(images, labels, generator)
            self.step(epoch * self.steps_per_epoch + index, images, targets)

    def step(self, step: int, images_BCHW: Tensor, targets: Tensor) -> None:
        """One step on a batch of augmented images; ``targets`` are labels or shares ``(B, K)``.

        Raises:
            NonFiniteLossError: the loss or its gradient is no number; nothing was changed.
        """
        options = self.options
        share = learning_rate_share(step, self.steps, options.warmup_share)
        for group in self.optimiser.param_groups:
            group["lr"] = options.lr * group["scale"] * share
        self.optimiser.zero_grad(set_to_none=True)
        loss = self._gradients(images_BCHW, targets)
        self._refuse_non_finite(loss, "loss", step)
        self.scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), options.grad_clip or math.inf)
        if not self.scaler.is_enabled():  # with fp16 it skips the step and scales by less
            self._refuse_non_finite(float(norm), "norm of the gradient", step)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self._update_average(step + 1)
        self.on_step(StepNote(step + 1, self.steps, loss, self.state.value))

    def _gradients(self, images_BCHW: Tensor, targets: Tensor) -> float:
        """Gradients of the mean loss of a batch, part by part; the loss."""
        total, count = 0.0, len(images_BCHW)
        parts = min(self.options.accumulate, count)
        for images, part in zip(
            images_BCHW.tensor_split(parts), targets.tensor_split(parts), strict=True
        ):
            loss = self._loss(images, part) * (len(images) / count)
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        return total

    def _loss(self, images_BCHW: Tensor, targets: Tensor) -> Tensor:
        dtype = DTYPES.get(self.options.precision)
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            logits_BK = self.model(images_BCHW)
        logits_BK = logits_BK.float()
        told = self.task.loss(logits_BK, targets, self.options.label_smoothing)
        if self.teacher is None:
            return told
        share, heat = self.options.teacher_share, self.options.temperature
        taught_BK = self.teacher(images_BCHW).float()
        # Hinton et al., arXiv:1503.02531: the square keeps the gradient's size.
        taught = self.task.distillation_loss(logits_BK / heat, taught_BK / heat) * heat**2
        return (1 - share) * told + share * taught

    def _refuse_non_finite(self, value: float, what: str, step: int) -> None:
        if math.isfinite(value):
            return
        architecture = getattr(self.model, "architecture", None)
        of = f" of {architecture.digest()}" if architecture is not None else ""
        kept = ""
        if self.path is not None and self.state.epoch:
            kept = f"; {self.path} holds the {self.state.epoch} epochs before"
        raise NonFiniteLossError(
            f"retrain: the {what}{of} is {value} at step {step}{kept}; "
            f"try a smaller learning rate than {self.options.lr:g}"
        )

    def _update_average(self, done: int) -> None:
        # Early averages would remember the start; the decay grows as (1 + t) / (10 + t).
        decay = min(self.options.ema_decay, (1 + done) / (10 + done))
        torch._foreach_lerp_(
            list(self.average.parameters()),
            [p.detach() for p in self.model.parameters()],
            1 - decay,
        )
        for mine, theirs in zip(self.average.buffers(), self.model.buffers(), strict=True):
            mine.copy_(theirs)
