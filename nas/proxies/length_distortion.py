"""Length distortion: how much longer a net makes a circle (As-ViT, #92; Raghu et al., 2017).

``L = ∫ ‖∂f(X(θ))/∂θ‖ dθ`` along ``X(θ) = √P (u cos θ + v sin θ)``, u and v random orthonormal in
the P-dimensional space of images (section 3.1 there), as a sum over evenly spaced θ. Norms are
left out, as they would undo the stretching that is looked for.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nas.proxies.proxy import PROXIES, Score

if TYPE_CHECKING:
    from torch import Tensor, nn

POINTS = 10


@PROXIES.register
class LengthDistortion(Score):
    """Length of the image of a circle of radius √P under the net without norms."""

    name = "length_distortion"
    label = "length distortion"
    summary = "how much longer the net makes a circle"
    source = "As-ViT (#92), section 3.1"
    built_for = ("softmax", "window")
    inits = 3

    def score(self, model: nn.Module, images_BCHW: Tensor, labels_B: Tensor, seed: int) -> float:
        """See ``Score.score``; the images only give their shape."""
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel

        from nas.proxies.maths.interception import WithoutNorms
        from nas.proxies.maths.weights import in_float64, run

        points, tangent = _circle(tuple(images_BCHW.shape[1:]), seed)
        tensors = {name: tensor.detach() for name, tensor in in_float64(model).items()}
        # Fused attention has no second derivative.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), WithoutNorms():
            moved_TK = run(model, tensors, points.requires_grad_())
            # vᵀJ is linear in v, and its derivative along the tangent is J · tangent: the speed
            # of each point, all in one go. (Forward mode compiles for seconds when first used.)
            v_TK = torch.zeros_like(moved_TK, requires_grad=True)
            (back,) = torch.autograd.grad((moved_TK * v_TK).sum(), points, create_graph=True)
            (speed_TK,) = torch.autograd.grad((back * tangent).sum(), v_TK)
        return float(speed_TK.norm(dim=1).mean() * 2 * math.pi)


def _circle(shape: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor]:
    """Points of a random circle and the derivative at each, ``(T, C, H, W)`` float64."""
    import torch

    pixels = math.prod(shape)
    generator = torch.Generator().manual_seed(seed)
    plane_P2 = torch.randn((pixels, 2), dtype=torch.float64, generator=generator)
    axes_2P = torch.linalg.qr(plane_P2).Q.T * math.sqrt(pixels)
    angle_T1 = torch.arange(POINTS, dtype=torch.float64)[:, None] * (2 * math.pi / POINTS)
    points_TP = angle_T1.cos() * axes_2P[:1] + angle_T1.sin() * axes_2P[1:]
    tangent_TP = angle_T1.cos() * axes_2P[1:] - angle_T1.sin() * axes_2P[:1]
    return points_TP.view(-1, *shape), tangent_TP.view(-1, *shape)
