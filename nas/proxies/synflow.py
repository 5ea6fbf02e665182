"""Synflow: how much passes through all weights together (Tanaka et al., 2020).

``S(θ) = ∂R/∂θ ⊙ θ`` (eq. 1 of the paper with R of its section 5), summed over all weights as
Abdelfattah et al. (2021, section 3.2) do to score nets. Each layer of a chain carries the whole
flow, so for a chain of L layers S = L · R. Given as ``log(1 + S)``, which changes no order. How
norms and attention are taken: `nas/proxies/maths/flow.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.proxies.proxy import PROXIES, Score

if TYPE_CHECKING:
    from torch import Tensor, nn


@PROXIES.register
class Synflow(Score):
    """``log(1 + Σ_θ ∂R/∂θ · θ)`` for an image of ones and absolute weights."""

    name = "synflow"
    label = "synflow"
    summary = "flow through all weights together, without data"
    source = "Tanaka et al., 2020, section 5; Abdelfattah et al., 2021"

    def score(self, model: nn.Module, images_BCHW: Tensor, labels_B: Tensor, seed: int) -> float:
        """See ``Score.score``."""
        from nas.proxies.maths.flow import bounded, in_orders_of_magnitude, synaptic_flow

        flows = synaptic_flow(model, images_BCHW).values()
        return in_orders_of_magnitude(
            [bounded((flow.weight * flow.gradient).sum()) for flow in flows]
        )
