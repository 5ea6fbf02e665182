"""Step 2: train the supernet, or go on where it stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from nas.data.augment import Augment
from nas.data.mixing import mixer
from nas.device import keep_large_blocks, peak_memory_mb, threads_for, torch_device
from nas.display import Bar, Display, duration, free_mb
from nas.evaluator import hits
from nas.initial_weights import start_from
from nas.run import Run
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError, writing
from supernet.model import Supernet
from supernet.training.loop import StepReport, Trainer, TrainingData
from supernet.training.options import TrainingOptions
from supernet.workload import workload

CHECKPOINT_COPIES = 4  # weights, their average, and AdamW's two moments


def train_supernet(
    run: Run, display: Display, on_epoch: Callable[[Mapping[str, float]], None] | None = None
) -> Supernet:
    """The trained supernet of a run, in eval mode on the CPU.

    ``on_epoch`` is called with each new line of ``training.jsonl``.
    """
    assert run.source is not None
    if run.source.path != run.folder.path:
        display.line(f"weights of {run.source.path}")
        return run.trained_supernet()
    keep_large_blocks()
    supernet = run.new_supernet()
    start = start_from(run, supernet)
    if start is not None:
        display.line(start)
    supernet = supernet.to(torch_device(run.config.device))
    log = _Log(run.folder.training_log, on_epoch)
    trainer = make_trainer(run, supernet, log.step)
    log.cut(trainer.epoch)
    if trainer.epoch < trainer.options.epochs:
        with threads_for(_activation_elements(run, trainer)) as threads:
            _announce(run, trainer, threads, display)
            log.start()
            with display.bar("train", trainer.steps, "steps") as bar:
                log.bar = bar
                trainer.run()
    else:
        supernet.load_state_dict(trainer.average)
        if not run.folder.supernet.exists():  # no epochs: what it starts from is the result
            trainer.save()
    supernet = supernet.eval().to("cpu")
    for name, architecture in (
        ("largest", run.space.largest()),
        ("smallest", run.space.smallest()),
    ):
        display.line(
            f"{name:8} member: val accuracy {_val_accuracy(run, supernet, architecture):.3f}"
        )
    return supernet


def make_trainer(
    run: Run, supernet: Supernet, on_step: Callable[[StepReport], None] = lambda report: None
) -> Trainer:
    """The trainer of a run; it has resumed from the run's checkpoint if there is one."""
    config = run.config.training
    options = TrainingOptions(
        epochs=config.epochs,
        batch_size=min(config.batch_size, len(run.dataset.train)),
        lr=config.lr,
        weight_decay=config.weight_decay,
        warmup_share=config.warmup_share,
        label_smoothing=config.label_smoothing,
        student_label_share=config.student_label_share,
        ema_decay=config.ema_decay,
        grad_clip=config.grad_clip,
        random_members=config.random_subnets,
        seed=run.config.seed,
    )
    data = TrainingData(
        images_NCHW=run.dataset.train.images_NCHW,
        labels_N=run.dataset.train.labels_N,
        augment=Augment(config.augmentation, run.dataset),
        digest=run.dataset.digest,
        mix=mixer(config.augmentation, run.num_classes),
    )
    return Trainer(supernet, data, run.task, options, run.folder.supernet, on_step)


def _announce(run: Run, trainer: Trainer, threads: int, display: Display) -> None:
    """Estimate time, disk and memory before the long step.

    Raises:
        UserError: the disk has no room for the checkpoint.
    """
    parameters = sum(p.numel() for p in trainer.supernet.parameters())
    disk_mb = parameters * 4 * CHECKPOINT_COPIES * 2 / 1e6  # the new one beside the old one
    room_mb = free_mb(run.folder.path)
    if disk_mb > room_mb:
        raise UserError(
            f"{run.folder.path}: training needs {disk_mb:.0f} MB of disk, {room_mb:.0f} MB are free"
        )
    seconds = trainer.seconds_per_step() * (trainer.steps - trainer.epoch * trainer.steps_per_epoch)
    memory_mb = peak_memory_mb(next(trainer.supernet.parameters()).device)  # of the passes timed
    at = f"on {threads} thread{'s' if threads > 1 else ''}"
    begun = f" from epoch {trainer.epoch}" if trainer.epoch else ""
    display.line(
        f"{parameters / 1e6:.2f} M shared parameters, {trainer.steps} steps{begun} {at}:"
        f" about {duration(seconds)}, {disk_mb:.0f} MB disk, {memory_mb:.0f} MB memory"
    )


def _activation_elements(run: Run, trainer: Trainer) -> int:
    """Elements of the largest member's residual stream for one batch."""
    largest = trainer.members.teacher
    tokens = int(workload(largest, run.num_classes).layers[0].tokens_out)
    return tokens * largest.stages[0].width * trainer.options.batch_size


def _val_accuracy(run: Run, supernet: Supernet, architecture: Architecture) -> float:
    images = run.dataset.transform.normalise(run.dataset.val.images_NCHW)
    found = hits(supernet.member(architecture).frozen(), images, run.dataset.val.labels_N)
    return float(found.double().mean())


class _Log:
    """Progress of every step, one JSON line an epoch."""

    def __init__(
        self, path: Path, on_epoch: Callable[[Mapping[str, float]], None] | None = None
    ) -> None:
        self.path = path
        self._on_epoch = on_epoch
        self.bar: Bar | None = None
        self.started = time.monotonic()
        self.images = 0
        self.teacher: list[float] = []
        self.student: list[float] = []

    def cut(self, epochs: int) -> None:
        """Drop lines of epochs that no checkpoint holds."""
        if self.path.exists():
            lines = self.path.read_text().splitlines()[:epochs]
            with writing(self.path):
                self.path.write_text("".join(f"{line}\n" for line in lines))

    def start(self) -> None:
        """Start the clock."""
        self.started, self.images = time.monotonic(), 0

    def step(self, report: StepReport) -> None:
        """Note a step; write a line behind an epoch's last."""
        self.images += report.images
        self.teacher.append(report.teacher_loss)
        self.student.append(report.student_loss)
        rate = self.images / max(time.monotonic() - self.started, 1e-9)
        note = f"loss {report.teacher_loss:.2f} / {report.student_loss:.2f}, {rate:.0f} img/s"
        if self.bar is not None:
            self.bar.at(report.step, note)
        if report.step % (report.steps // report.epochs) == 0:
            self._write(report, rate)

    def _write(self, report: StepReport, rate: float) -> None:
        line = {
            "epoch": report.epoch + 1,
            "teacher_loss": round(sum(self.teacher) / len(self.teacher), 5),
            "student_loss": round(sum(self.student) / len(self.student), 5),
            "images_per_s": round(rate, 1),
            "seconds": round(time.monotonic() - self.started, 2),
        }
        with writing(self.path), self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self._on_epoch is not None:
            self._on_epoch(line)
        self.teacher, self.student = [], []
