"""SNIP: how much the loss would feel if a weight were cut (Lee et al., 2019).

``Σ_θ |θ · ∂L/∂θ|`` (eq. 6 there, without its normalisation), L the mean cross-entropy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.proxies.proxy import PROXIES, Score

if TYPE_CHECKING:
    from torch import Tensor, nn


@PROXIES.register
class Snip(Score):
    """Sum of ``|θ · ∂L/∂θ|`` over all matrices and kernels."""

    name = "snip"
    label = "SNIP"
    summary = "how much the loss would feel each weight's loss"
    source = "Lee et al., 2019, eq. 6"

    def score(self, model: nn.Module, images_BCHW: Tensor, labels_B: Tensor, seed: int) -> float:
        """See ``Score.score``."""
        from nas.proxies.maths.loss import loss_gradients

        found = loss_gradients(model, images_BCHW, labels_B).values()
        return sum(float((weight * gradient).abs().sum()) for weight, gradient in found)
