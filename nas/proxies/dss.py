"""DSS: synaptic diversity of attention plus synaptic saliency of the MLPs (TF-TAS, 2022).

``Σ_attention ‖∂R/∂W‖_* ‖W‖_* + Σ_MLP ∂R/∂W ⊙ W`` (eq. 3, 5 and 6 of Zhou et al., 2022), with
nuclear norms ``‖·‖_*``, over the projections of attention and the matrices of MLPs. R is that of
synflow: an image of ones, absolute weights. The sum S is given as ``log(1 + S)``, which changes no
order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.proxies.proxy import PROXIES, Score

if TYPE_CHECKING:
    from torch import Tensor, nn


@PROXIES.register
class Dss(Score):
    """Nuclear norms of attention's weights and gradients, saliency of the MLPs' weights."""

    name = "dss"
    label = "DSS"
    summary = "diversity of attention's weights plus saliency of the MLPs'"
    source = "TF-TAS (Zhou et al., 2022), eq. 6"
    built_for = ("softmax",)

    def score(self, model: nn.Module, images_BCHW: Tensor, labels_B: Tensor, seed: int) -> float:
        """See ``Score.score``; parts are told by their place, ``….attention.…`` and ``….mlp.…``."""
        from nas.proxies.maths.flow import bounded, in_orders_of_magnitude, synaptic_flow

        parts = []
        for name, flow in synaptic_flow(model, images_BCHW).items():
            folders = name.split(".")
            if "attention" in folders:
                parts.append(min(_nuclear(flow.gradient) * _nuclear(flow.weight), _largest()))
            elif "mlp" in folders:
                parts.append(bounded((flow.weight * flow.gradient).sum()))
        return in_orders_of_magnitude(parts)


def _nuclear(matrix: Tensor) -> float:
    """Sum of the singular values; scaled first, as their squares may overflow."""
    import torch

    scale = float(matrix.abs().max())
    if scale == 0:
        return 0.0
    return scale * float(torch.linalg.matrix_norm(matrix.flatten(1) / scale, "nuc"))


def _largest() -> float:
    from nas.proxies.maths.weights import LARGEST

    return LARGEST
