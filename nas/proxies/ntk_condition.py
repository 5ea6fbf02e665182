"""Condition number of the neural tangent kernel: how evenly a net can learn (As-ViT, #92).

``κ = λ_max / λ_min`` of ``Θ_ij = ⟨∂f(x_i)/∂θ, ∂f(x_j)/∂θ⟩`` (eq. 1 there; Chen et al., 2021), f:
the sum of the logits and θ the matrices and kernels. Less is better. In float64 and on a few
images, as λ_min sinks below the rounding of float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.proxies.proxy import PROXIES, Score

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGES = 8
SMALLEST = 1e-15  # share of the largest eigenvalue: what float64 still tells from zero


@PROXIES.register
class NtkCondition(Score):
    """``λ_max / λ_min`` of the Gram matrix of per-image gradients; at most 10^15."""

    name = "ntk_condition"
    label = "NTK condition"
    summary = "how unevenly the net would learn; less is better"
    source = "As-ViT (#92), eq. 1"
    direction = "min"
    built_for = ("softmax", "window")
    inits = 3
    worst = 1 / SMALLEST

    def score(self, model: nn.Module, images_BCHW: Tensor, labels_B: Tensor, seed: int) -> float:
        """See ``Score.score``; looks at the first 8 images."""
        import torch

        from nas.proxies.maths.weights import gradients, in_float64, run, synapses

        tensors = in_float64(model)
        weights = {name: tensors[name] for name in synapses(model)}
        rows = []
        for image_CHW in images_BCHW[:IMAGES].double():
            with torch.enable_grad():
                total = run(model, tensors, image_CHW[None]).sum()
            rows.append(torch.cat([g.flatten() for g in gradients(total, weights).values()]))
        jacobian_BP = torch.stack(rows)
        values_B = torch.linalg.eigvalsh(jacobian_BP @ jacobian_BP.T)
        largest = float(values_B[-1])
        return largest / max(float(values_B[0]), SMALLEST * largest) if largest > 0 else self.worst
