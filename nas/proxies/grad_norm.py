"""Gradient norm: how strongly one batch pulls at the weights (Abdelfattah et al., 2021).

``Σ_W ‖∂L/∂W‖₂`` over the matrices and kernels, L the mean cross-entropy (section 3.2 there).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.proxies.proxy import PROXIES, Score

if TYPE_CHECKING:
    from torch import Tensor, nn


@PROXIES.register
class GradNorm(Score):
    """Sum of the Euclidean norms of the gradients of all matrices and kernels."""

    name = "grad_norm"
    label = "gradient norm"
    summary = "norm of the first gradient"
    source = "Abdelfattah et al., 2021, section 3.2"

    def score(self, model: nn.Module, images_BCHW: Tensor, labels_B: Tensor, seed: int) -> float:
        """See ``Score.score``."""
        from nas.proxies.maths.loss import loss_gradients

        found = loss_gradients(model, images_BCHW, labels_B).values()
        return sum(float(gradient.norm()) for _, gradient in found)
