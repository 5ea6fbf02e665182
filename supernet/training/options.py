"""How a supernet is trained, as a value."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """Everything that decides the weights, beside data, space and seed.

    Attributes:
        epochs: passes over the training images.
        batch_size: images per step.
        lr: peak learning rate of AdamW.
        weight_decay: of matrices and kernels; norms, biases and tables have none.
        warmup_share: share of the steps with a rising learning rate; then a cosine to 1 % of it.
        label_smoothing: weight of the uniform target in the teacher's loss.
        student_label_share: weight of the labels in a student's loss; the rest is the teacher's.
        ema_decay: decay per step of the averaged weights (0: the last weights are used).
        grad_clip: largest norm of a step's gradient, or None.
        random_members: random members per step beside the largest and the smallest.
        seed: of every draw.
    """

    epochs: int
    batch_size: int = 128
    lr: float = 2e-3
    weight_decay: float = 0.05
    warmup_share: float = 0.1
    label_smoothing: float = 0.1
    student_label_share: float = 0.5
    ema_decay: float = 0.99
    grad_clip: float | None = 1.0
    random_members: int = 2
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)
