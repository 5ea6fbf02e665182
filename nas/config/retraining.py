"""What ``formfinder retrain`` is asked. None of it changes the run that it starts from."""

from __future__ import annotations

from dataclasses import dataclass

from nas.config.fields import resumable

WEIGHTS = ("inherited", "scratch")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass
class RetrainConfig:
    """How one model is trained alone. Other values are another retraining, kept beside it."""

    model: str | None = resumable(None, "a best.json of the run; null: the winner's")
    weights: str = resumable("inherited", "what to begin with: inherited or scratch")
    epochs: int = resumable(30, "passes over the training images")
    batch_size: int | None = resumable(None, "images per step; null: training.batch_size")
    accumulate: int = resumable(1, "parts a batch goes through in, one after the other")
    lr: float | None = resumable(None, "peak; null: training.lr, a tenth of it where inherited")
    layer_decay: float = resumable(1.0, "learning rate of a layer over that of the one behind it")
    weight_decay: float | None = resumable(None, "AdamW's decay; null: training.weight_decay")
    warmup_share: float = resumable(0.1, "share of the steps with a rising learning rate")
    label_smoothing: float | None = resumable(None, "null: training.label_smoothing")
    grad_clip: float | None = resumable(1.0, "largest norm of the gradient; null: no limit")
    ema_decay: float = resumable(0.98, "decay per step of the averaged weights; 0: none")
    augmentation: str | None = resumable(None, "a recipe; null: what the supernet was trained with")
    teacher: str | None = resumable(
        None, "who is imitated: supernet, timm:NAME or timm:NAME@FILE; null: nobody"
    )
    teacher_share: float = resumable(0.5, "the teacher's weight in the loss, rest: the labels")
    teacher_size: int | None = resumable(None, "side of timm's images, px; null: its own")
    temperature: float = resumable(1.0, "divides the logits of both before they are compared")
    precision: str = resumable("auto", "fp32, bf16 or fp16; auto: half on CUDA, fp32 elsewhere")
    seed: int | None = resumable(None, "of this training; null: the run's")
