"""Number of parameters: the proxy that others have to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.proxies.proxy import PROXIES, Score

if TYPE_CHECKING:
    from torch import Tensor, nn


@PROXIES.register
class Params(Score):
    """``Σ |θ|₀``, the head included."""

    name = "params"
    label = "parameters"
    summary = "number of parameters; what a proxy has to beat"
    is_objective = False  # counted in closed form

    def score(self, model: nn.Module, images_BCHW: Tensor, labels_B: Tensor, seed: int) -> float:
        """See ``Score.score``."""
        return float(sum(parameter.numel() for parameter in model.parameters()))
