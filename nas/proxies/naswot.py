"""NASWOT: how differently a net's units switch for different images (Mellor et al., 2021).

``log |K|``, ``K_ij = N_units − d_H(c_i, c_j)`` (eq. 2 and 3 there): the code c of an image says
which rectifying units are on. A GELU is on where its input is positive; codes run over all tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.proxies.proxy import PROXIES, Score

if TYPE_CHECKING:
    from torch import Tensor, nn

SMALLEST = 1e-12  # share of the largest eigenvalue, so that equal codes score low and not −∞


@PROXIES.register
class Naswot(Score):
    """Log determinant of the agreement of activation codes between images."""

    name = "naswot"
    label = "NASWOT"
    summary = "how differently units switch for different images"
    source = "Mellor et al., 2021, eq. 3"
    worst = -1e4

    def score(self, model: nn.Module, images_BCHW: Tensor, labels_B: Tensor, seed: int) -> float:
        """See ``Score.score``."""
        import torch

        from nas.proxies.maths.interception import Watched

        count = len(images_BCHW)
        kernel_BB = torch.zeros((count, count), dtype=torch.float64)

        def see(x: Tensor) -> None:
            code_BU = (x.detach().reshape(count, -1) > 0).to(torch.float32)
            off_BU = 1 - code_BU
            kernel_BB.add_(code_BU @ code_BU.T + off_BU @ off_BU.T)

        with torch.no_grad(), Watched(see):
            model(images_BCHW)
        values_B = torch.linalg.eigvalsh(kernel_BB)
        return float(values_B.clamp(min=SMALLEST * max(float(values_B[-1]), 1.0)).log().sum())
