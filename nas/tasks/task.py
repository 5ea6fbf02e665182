"""What a task's file provides.

Shapes: B images of a batch, N of a split, K outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch


class Task(Protocol):
    """Head, loss and metrics.

    Attributes:
        name: as stored in ``best.json``.
        summary: one line for ``formfinder list task``.
        metric: the name of the first metric, which candidates are ranked by; larger is better.
    """

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...

    @property
    def metric(self) -> str: ...

    def outputs(self, class_names: Sequence[str]) -> int:
        """How many numbers the head gives per image."""
        ...

    def loss(
        self, logits_BK: torch.Tensor, labels_B: torch.Tensor, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        """The mean loss of a batch against its labels, a scalar."""
        ...

    def distillation_loss(self, logits_BK: torch.Tensor, teacher_BK: torch.Tensor) -> torch.Tensor:
        """The mean loss of a batch against a teacher's logits, a scalar; no gradient to them."""
        ...

    def hits(self, logits_BK: torch.Tensor, labels_B: torch.Tensor) -> torch.Tensor:
        """Which images are answered rightly, bool ``(B,)``: what paired comparisons need."""
        ...

    def metrics(self, logits_NK: torch.Tensor, labels_N: torch.Tensor) -> dict[str, float]:
        """Every metric of a whole split by name."""
        ...
