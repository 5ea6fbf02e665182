"""Log-synflow: gradients by their logarithm, so that depth does not drown the rest.

``Σ_θ |θ| log(1 + |∂R/∂θ|)`` (FreeREA, Cavagnero et al., 2023), R as for synflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.proxies.proxy import PROXIES, Score

if TYPE_CHECKING:
    from torch import Tensor, nn


@PROXIES.register
class LogSynflow(Score):
    """``Σ_θ |θ| log(1 + |∂R/∂θ|)``."""

    name = "log_synflow"
    label = "log-synflow"
    summary = "synflow with logarithmic gradients, which depth does not drown"
    source = "FreeREA (Cavagnero et al., 2023)"

    def score(self, model: nn.Module, images_BCHW: Tensor, labels_B: Tensor, seed: int) -> float:
        """See ``Score.score``."""
        from nas.proxies.maths.flow import synaptic_flow

        flows = synaptic_flow(model, images_BCHW).values()
        return sum(float((flow.weight * flow.gradient.abs().log1p()).sum()) for flow in flows)
