"""One retraining in its own folder: options, teacher, checkpoint, log."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import torch

from nas.config import AugmentationConfig
from nas.config.retraining import RetrainConfig
from nas.data.augment import Augment
from nas.data.mixing import mixer
from nas.data.recipes import RECIPES
from nas.device import keep_large_blocks, threads_for, torch_device
from nas.display import Display
from nas.evaluator import hits
from nas.retraining.options import AloneOptions
from nas.retraining.precision import resolve_precision
from nas.retraining.teacher import Teacher, load_teacher
from nas.retraining.trainer import AloneTrainer, StepNote
from nas.run import Run
from search_spaces.errors import bad_value
from supernet.extract import VisionTransformer
from supernet.training.checkpoint import weights_hash
from supernet.training.loop import TrainingData
from supernet.workload import workload

PLACE = 14
INHERITED_LR_SHARE = 0.1


class Session:
    """What ``formfinder retrain`` does between reading a model and exporting it.

    Args:
        run: gives images, task and defaults.
        model: as it begins; changed in place.
        config: what was asked.
        display: gets lines and a progress bar.

    Attributes:
        folder: ``retrained/DIGEST`` of the run; the digest is that of the question: architecture,
            weights to begin with, data, options and teacher.
    """

    def __init__(
        self, run: Run, model: VisionTransformer, config: RetrainConfig, display: Display
    ) -> None:
        self._run, self._model, self._config, self._display = run, model, config, display
        self._device = torch_device(run.config.device)
        self._options = options_of(run, config, self._device)
        self._augmentation = (
            RECIPES[config.augmentation]
            if config.augmentation
            else run.config.training.augmentation
        )
        self._identity = self._question()
        text = json.dumps(self._identity, sort_keys=True)
        self.digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.folder = run.folder.found / "retrained" / self.digest

    def teacher(self) -> Teacher | None:
        """Who teaches, if anybody does.

        Raises:
            UserError: it does not exist or does not fit.
        """
        return load_teacher(self._run, self._config, self._device)

    def train(self, teacher: Teacher | None) -> dict[str, Any]:
        """Train, or go on; the pass as it is recorded in ``best.json``."""
        keep_large_blocks()
        run, options, device = self._run, self._options, self._device
        judge = val_judge(run, device)
        before = judge(self._model.to(device))
        inherits = self._config.weights == "inherited"
        with threads_for(self._elements()), self._display.bar("retrain", 1, "steps") as bar:
            trainer = AloneTrainer(
                self._model,
                training_data(run, self._augmentation),
                run.task,
                options,
                judge,
                teacher=teacher,
                checkpoint=self.folder / "checkpoint.safetensors",
                identity=self._identity,
                start_value=before if inherits else -1.0,
                on_step=lambda note: bar.at(note.step, _note(note), note.steps),
            )
            self._announce(trainer)
            state = trainer.run()
        self._model.to("cpu")
        return {
            "name": "retrain",
            "digest": self.digest,
            "weights": self._config.weights,
            "teacher": self._config.teacher,
            "augmentation": self._config.augmentation,
            **options.to_dict(),
            "kept_epoch": state.best_epoch,
            "val_before": before,
            "val_after": state.best_value,
        }

    def _question(self) -> dict[str, Any]:
        inherited = self._config.weights == "inherited"
        return {
            "architecture": self._model.architecture.digest(),
            "weights": weights_hash(self._model.state_dict()) if inherited else "scratch",
            "data": self._run.dataset.digest,
            "options": self._options.to_dict(),
            "augmentation": vars(self._augmentation).copy(),
            "teacher": self._config.teacher,
            "teacher_size": self._config.teacher_size,
        }

    def _announce(self, trainer: AloneTrainer) -> None:
        options, config = self._options, self._config
        begun = f", epoch {trainer.state.epoch} on" if trainer.state.epoch else ""
        taught = f", teacher {config.teacher}" if config.teacher else ""
        self._display.prose(
            f"{config.weights} weights, {options.epochs} epochs{begun}, "
            f"learning rate {options.lr:g}, {options.precision} on {self._device.type}{taught}"
        )

    def _elements(self) -> int:
        """Elements of the residual stream for one batch."""
        architecture = self._model.architecture
        tokens = int(workload(architecture, self._run.num_classes).layers[0].tokens_out)
        return tokens * architecture.stages[0].width * self._options.batch_size


def options_of(run: Run, config: RetrainConfig, device: torch.device) -> AloneOptions:
    """What was asked, with the run's own values where nothing was said.

    Raises:
        UserError: the device cannot calculate as asked.
    """
    training = run.config.training
    share = INHERITED_LR_SHARE if config.weights == "inherited" else 1.0

    def or_else(value: Any, default: Any) -> Any:
        return default if value is None else value

    batch_size = or_else(config.batch_size, training.batch_size)
    if config.accumulate > batch_size:
        allowed = f"1 to {batch_size}, the images of a step"
        raise bad_value("retrain.accumulate", config.accumulate, allowed)
    return AloneOptions(
        epochs=config.epochs,
        batch_size=batch_size,
        accumulate=config.accumulate,
        lr=or_else(config.lr, training.lr * share),
        layer_decay=config.layer_decay,
        weight_decay=or_else(config.weight_decay, training.weight_decay),
        warmup_share=config.warmup_share,
        label_smoothing=or_else(config.label_smoothing, training.label_smoothing),
        grad_clip=config.grad_clip,
        ema_decay=config.ema_decay,
        teacher_share=config.teacher_share,
        temperature=config.temperature,
        precision=resolve_precision(config.precision, device),
        seed=or_else(config.seed, run.config.seed),
        place=PLACE,
    )


def training_data(run: Run, augmentation: AugmentationConfig) -> TrainingData:
    """The training split under an augmentation."""
    return TrainingData(
        images_NCHW=run.dataset.train.images_NCHW,
        labels_N=run.dataset.train.labels_N,
        augment=Augment(augmentation, run.dataset),
        digest=run.dataset.digest,
        mix=mixer(augmentation, run.num_classes),
    )


def val_judge(run: Run, device: torch.device) -> Callable[[torch.nn.Module], float]:
    """Accuracy on the whole validation split, of models on a device."""
    val = run.dataset.val
    images = run.dataset.transform.normalise(val.images_NCHW).to(device)
    labels = val.labels_N.to(device)
    return lambda model: float(hits(model.eval(), images, labels).double().mean())


def _note(note: StepNote) -> str:
    seen = "" if note.val is None else f", val {note.val:.3f}"
    return f"loss {note.loss:.2f}{seen}"
