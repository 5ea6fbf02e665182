"""The training loop: sandwich steps, in-place distillation, averaged weights, exact resume.

Every draw depends on the seed and the step alone, so a run that continues from the checkpoint of
an epoch reaches the same weights as one that was never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from search_spaces.architecture import Architecture
from search_spaces.errors import UserError
from supernet.model import Supernet
from supernet.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from supernet.training.options import TrainingOptions
from supernet.training.sampling import MemberSampler, Sandwich


class Loss(Protocol):
    """What a task gives the loop."""

    def loss(self, logits_BK: Tensor, labels_B: Tensor, label_smoothing: float) -> Tensor: ...
    def distillation_loss(self, logits_BK: Tensor, teacher_BK: Tensor) -> Tensor: ...


Augmentation = Callable[[Tensor, torch.Generator], Tensor]
"""uint8 images ``(B, C, H, W)`` and a generator → normalised float images."""

Mix = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""Augmented images, labels ``(B,)`` and a generator → images, labels or shares ``(B, K)``."""


def no_mix(
    images_BCHW: Tensor, labels_B: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Images and labels as they are."""
    return images_BCHW, labels_B


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What is learned from.

    Attributes:
        images_NCHW: uint8.
        labels_N: int64.
        augment: how a batch is changed and normalised.
        digest: names data and splits; a checkpoint of other data is refused.
        mix: how images of a batch are blended (mixup, cutmix), behind ``augment``.
    """

    images_NCHW: Tensor
    labels_N: Tensor
    augment: Augmentation
    digest: str
    mix: Mix = no_mix


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a progress display is told behind every step."""

    epoch: int
    epochs: int
    step: int
    steps: int
    images: int
    teacher_loss: float
    student_loss: float


class NonFiniteLossError(UserError):
    """The loss is no number. The last epoch's checkpoint is kept."""


class Trainer:
    """Trains one supernet.

    Args:
        supernet: the weights, changed in place.
        data: what is learned from.
        task: its losses.
        options: how.
        checkpoint: file that is replaced behind every epoch, and continued from.
        on_step: told behind every step.

    Raises:
        UserError: the checkpoint belongs to another space, data or options.
    """

    def __init__(
        self,
        supernet: Supernet,
        data: TrainingData,
        task: Loss,
        options: TrainingOptions,
        checkpoint: Path,
        on_step: Callable[[StepReport], None] = lambda report: None,
    ) -> None:
        self.supernet = supernet
        self.data = data
        self.task = task
        self.options = options
        self.path = checkpoint
        self.on_step = on_step
        self.members = MemberSampler(supernet.space, options.seed, options.random_members)
        self.optimiser = torch.optim.AdamW(
            _decay_groups(supernet, options.weight_decay), fused=True
        )
        self.average = {k: v.detach().clone() for k, v in supernet.state_dict().items()}
        self.epoch = 0
        if checkpoint.exists():
            self._resume(load_checkpoint(checkpoint))

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch; a last, partial one is left out where there is a full one."""
        return max(len(self.data.labels_N) // self.options.batch_size, 1)

    @property
    def steps(self) -> int:
        """Steps of the whole schedule."""
        return self.steps_per_epoch * self.options.epochs

    def run(self) -> Supernet:
        """Train to the end of the schedule and put the averaged weights into the supernet."""
        self.supernet.train()
        while self.epoch < self.options.epochs:
            for index, images_BCHW, labels_B in self._batches(self.epoch):
                self._step(self.epoch * self.steps_per_epoch + index, images_BCHW, labels_B)
            self.epoch += 1
            self.save()
        self.supernet.load_state_dict(self.average)
        return self.supernet.eval()

    def learning_rate(self, step: int) -> float:
        """Warm-up, then a cosine to 1 % of the peak."""
        warmup = max(round(self.options.warmup_share * self.steps), 1)
        if step < warmup:
            return self.options.lr * (step + 1) / warmup
        done = (step - warmup) / max(self.steps - warmup, 1)
        return self.options.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))

    def seconds_per_step(self) -> float:
        """An estimate, from one pass of the teacher and of the smallest member."""
        _, images_BCHW, labels_B = next(self._batches(self.epoch))
        members = Sandwich(self.members.teacher, (self.members.smallest,))
        self._losses(members, images_BCHW, labels_B)  # the first pass also warms up
        started = time.perf_counter()
        self._losses(members, images_BCHW, labels_B)
        seconds = time.perf_counter() - started
        self.optimiser.zero_grad(set_to_none=True)
        # A random member costs about a third of the teacher: fewer layers, fewer tokens.
        return seconds * (1 + self.options.random_members / 3)

    def _batches(self, epoch: int) -> Iterator[tuple[int, Tensor, Tensor]]:
        device = next(self.supernet.parameters()).device
        order_N = torch.randperm(
            len(self.data.labels_N), generator=_generator(self.options.seed, 0, epoch)
        )
        for index in range(self.steps_per_epoch):
            start = index * self.options.batch_size
            rows = order_N[start : start + self.options.batch_size]
            generator = _generator(self.options.seed, 1, epoch, index)
            images = self.data.augment(self.data.images_NCHW[rows].to(device), generator)
            labels = self.data.labels_N[rows].to(device)
            yield index, *self.data.mix(images, labels, generator)

    def _step(self, step: int, images_BCHW: Tensor, labels_B: Tensor) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate(step)
        self.optimiser.zero_grad(set_to_none=True)
        sandwich = self.members.draw(step)
        teacher_loss, student_loss = self._losses(sandwich, images_BCHW, labels_B, step)
        clip = self.options.grad_clip or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.supernet.parameters(), clip)
        self._check(float(norm), "norm of the gradient", step, sandwich.teacher, *sandwich.students)
        self.optimiser.step()
        self._update_average(step)
        self.on_step(
            StepReport(
                epoch=step // self.steps_per_epoch,
                epochs=self.options.epochs,
                step=step + 1,
                steps=self.steps,
                images=len(labels_B),
                teacher_loss=teacher_loss,
                student_loss=student_loss,
            )
        )

    def _losses(
        self, sandwich: Sandwich, images_BCHW: Tensor, labels_B: Tensor, step: int = 0
    ) -> tuple[float, float]:
        """Gradients of all members; each is run and freed in turn."""
        teacher_BK = self.supernet.member(sandwich.teacher)(images_BCHW)
        loss = self.task.loss(teacher_BK, labels_B, self.options.label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        teacher_loss, student_loss = float(loss.detach()), 0.0
        self._check(teacher_loss, "loss", step, sandwich.teacher)
        target_BK = teacher_BK.detach()
        for student in sandwich.students:
            made_BK = self.supernet.member(student)(images_BCHW)
            loss = self._student_loss(made_BK, target_BK, labels_B)
            loss.backward()  # type: ignore[no-untyped-call]
            self._check(float(loss.detach()), "loss", step, student)
            student_loss += float(loss.detach()) / len(sandwich.students)
        return teacher_loss, student_loss

    def _check(self, value: float, what: str, step: int, *subnets: Architecture) -> None:
        """Stop before the weights are touched; the checkpoint is that of the epoch before."""
        if math.isfinite(value):
            return
        kept = f"; {self.path} holds the {self.epoch} epochs before" if self.epoch else ""
        raise NonFiniteLossError(
            f"training: the {what} is {value} at step {step} "
            f"(subnet {', '.join(subnet.digest() for subnet in subnets)}){kept}; "
            f"try a smaller training.lr={self.options.lr:g} under another name"
        )

    def _student_loss(self, made_BK: Tensor, target_BK: Tensor, labels_B: Tensor) -> Tensor:
        """In-place distillation, and labels: a young teacher has little to teach."""
        share = self.options.student_label_share
        taught = self.task.distillation_loss(made_BK, target_BK)
        told = self.task.loss(made_BK, labels_B, self.options.label_smoothing)
        return share * told + (1 - share) * taught

    def _update_average(self, step: int) -> None:
        # Early averages would remember the random start; the decay grows as (1 + t) / (10 + t).
        decay = min(self.options.ema_decay, (1 + step) / (10 + step))
        current = self.supernet.state_dict()
        averages = list(self.average.values())
        torch._foreach_lerp_(averages, [current[name] for name in self.average], 1 - decay)

    # -- checkpoints --------------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        return {
            "space": self.supernet.space.digest(),
            "share": self.supernet.share,
            "data": self.data.digest,
            "options": self.options.to_dict(),
        }

    def save(self) -> None:
        """Write the checkpoint of what was trained so far."""
        tensors = {f"model.{k}": v for k, v in self.supernet.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{key}": value for key, value in state.items()}
        data = {
            **self._identity(),
            "epoch": self.epoch,
            "members": self.members.state(),
            "num_classes": self.supernet.num_classes,
        }
        save_checkpoint(self.path, Checkpoint(tensors, data))

    def _resume(self, checkpoint: Checkpoint) -> None:
        for name, mine in self._identity().items():
            theirs = checkpoint.data.get(name)
            if theirs != mine:
                what = f"another {name}" if name != "options" else "other options"
                raise UserError(
                    f"{self.path}: trained with {what} ({_difference(theirs, mine)}); "
                    "give the run another name"
                )
        self.supernet.load_state_dict(checkpoint.section("model"))
        self.average = {k: v.clone() for k, v in checkpoint.section("average").items()}
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in checkpoint.section("optimiser").items():
            index, _, name = key.partition(".")
            state.setdefault(int(index), {})[name] = tensor
        plain = self.optimiser.state_dict()
        self.optimiser.load_state_dict({"state": state, "param_groups": plain["param_groups"]})
        self.members.load_state(checkpoint.data["members"])
        self.epoch = checkpoint.data["epoch"]


def load_supernet(supernet: Supernet, path: Path) -> Supernet:
    """Put the averaged weights of a checkpoint into a supernet.

    Raises:
        UserError: the file is no checkpoint of ours, or belongs to another space.
    """
    checkpoint = load_checkpoint(path)
    weights = checkpoint.section("average")
    mine = {name: tuple(tensor.shape) for name, tensor in supernet.state_dict().items()}
    theirs = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if mine != theirs:
        names = sorted(n for n in mine.keys() | theirs.keys() if mine.get(n) != theirs.get(n))
        shown = "; ".join(f"{n}: {theirs.get(n)} there, {mine.get(n)} here" for n in names[:3])
        raise UserError(f"{path}: weights of another space ({shown})")
    supernet.load_state_dict(weights)
    return supernet.eval()


def _difference(theirs: Any, mine: Any) -> str:
    if isinstance(theirs, dict) and isinstance(mine, dict):
        names = [name for name in {**theirs, **mine} if theirs.get(name) != mine.get(name)]
        return "; ".join(f"{name}: {theirs.get(name)}, not {mine.get(name)}" for name in names)
    return f"{theirs}, not {mine}"


def _decay_groups(supernet: Supernet, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices and kernels decay; gains, shifts, biases and position tables do not."""
    plain: list[Tensor] = []
    decayed: list[Tensor] = []
    for name, parameter in supernet.named_parameters():
        leaf = name.rsplit(".", 1)[-1]
        is_matrix = parameter.ndim >= 2 and leaf.endswith("weight")
        (decayed if is_matrix else plain).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]


def _generator(seed: int, *place: int) -> torch.Generator:
    """A generator that depends on the seed and the place alone."""
    words = np.random.SeedSequence([seed, *place]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0]) & (2**63 - 1))
