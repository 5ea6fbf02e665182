"""One label per image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from nas.tasks import TASKS


@TASKS.register
class Classification:
    """Cross-entropy, accuracy, balanced accuracy, macro F1."""

    name = "classification"
    summary = "one label per image: cross-entropy, accuracy"
    metric = "accuracy"

    def outputs(self, class_names: Sequence[str]) -> int:
        """One logit per class."""
        return len(class_names)

    def loss(
        self, logits_BK: torch.Tensor, labels_B: torch.Tensor, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        """Mean cross-entropy in nats.

        Args:
            logits_BK: the model's output.
            labels_B: int64.
            label_smoothing: weight of the uniform target (Szegedy et al., arXiv:1512.00567).
        """
        return F.cross_entropy(logits_BK, labels_B, label_smoothing=label_smoothing)

    def distillation_loss(self, logits_BK: torch.Tensor, teacher_BK: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy in nats against the teacher's softmax (Hinton, arXiv:1503.02531)."""
        return F.cross_entropy(logits_BK, teacher_BK.detach().softmax(dim=1))

    def hits(self, logits_BK: torch.Tensor, labels_B: torch.Tensor) -> torch.Tensor:
        """Whether the largest logit is the label's, bool ``(B,)``; NaN logits are never right."""
        right_B = logits_BK.argmax(dim=1) == labels_B
        return right_B & ~logits_BK.isnan().any(dim=1)

    def metrics(self, logits_NK: torch.Tensor, labels_N: torch.Tensor) -> dict[str, float]:
        """``accuracy`` and ``loss`` (mean cross-entropy, nats), and what sees rare classes.

        ``balanced_accuracy`` is the mean over classes of the share of their images that is
        answered rightly; ``macro_f1`` the mean over classes of the harmonic mean of that share and
        of the share of such answers that is right. Both are means over the classes that occur,
        ``macro_f1`` over those that are answered too, as in scikit-learn.
        """
        answers_N = logits_NK.argmax(dim=1)
        right_N = self.hits(logits_NK, labels_N)
        count = logits_NK.shape[1]
        shown_K = torch.bincount(labels_N, minlength=count).double()
        said_K = torch.bincount(answers_N, minlength=count).double()
        right_K = torch.bincount(labels_N[right_N], minlength=count).double()
        recall_K = (right_K / shown_K)[shown_K > 0]
        f1_K = (2 * right_K / (shown_K + said_K))[shown_K + said_K > 0]
        return {
            "accuracy": float(right_N.double().mean()),
            "balanced_accuracy": float(recall_K.mean()),
            "macro_f1": float(f1_K.mean()),
            "loss": float(F.cross_entropy(logits_NK.double(), labels_N)),
        }
