"""How one model is trained alone, as a value."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class AloneOptions:
    """Everything that decides the weights, beside model, data and teacher.

    Attributes:
        epochs: passes over the training images.
        batch_size: images per step.
        accumulate: parts a batch is cut into; the step is that of the whole batch.
        lr: peak learning rate of AdamW, rising over ``warmup_share`` of the steps, then a cosine.
        layer_decay: learning rate of a layer over that of the one behind it.
        weight_decay: of matrices and kernels.
        warmup_share: share of the steps with a rising learning rate.
        label_smoothing: weight of the uniform target.
        grad_clip: largest norm of a step's gradient, or None.
        ema_decay: decay per step of the averaged weights (0: the last weights are used).
        teacher_share: weight of the teacher in the loss, where there is one.
        temperature: divides both logits in the teacher's part.
        precision: ``fp32``, ``bf16`` or ``fp16`` of matrix products; weights stay in fp32.
        seed: of every draw.
        place: distinguishes the draws of different trainings of one run.
    """

    epochs: int
    batch_size: int
    lr: float
    accumulate: int = 1
    layer_decay: float = 1.0
    weight_decay: float = 0.05
    warmup_share: float = 0.1
    label_smoothing: float = 0.1
    grad_clip: float | None = 1.0
    ema_decay: float = 0.98
    teacher_share: float = 0.5
    temperature: float = 1.0
    precision: str = "fp32"
    seed: int = 0
    place: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)
