"""RandAugment (Cubuk et al., arXiv:1909.13719) on batches, from one explicit generator.

Every image draws its own operations. Images that drew the same one go through torchvision's kernel
together. Operations and their strengths are those of ``torchvision.transforms.v2.RandAugment``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from search_spaces.errors import UserError

LEVELS = 30
"""The largest magnitude; AugReg's is 20 of 30."""

Op = Callable[[Any, Tensor, float, tuple[int, int]], Tensor]
"""torchvision's functions, uint8 images, strength 0 to 1 with a sign, (height, width)."""


def _shear(f: Any, images: Tensor, x: float, y: float) -> Tensor:
    # The kernel measures in degrees, the paper in pixels a row; both turn about the top left.
    degrees = [math.degrees(math.atan(x)), math.degrees(math.atan(y))]
    out: Tensor = f.affine(images, 0.0, [0, 0], 1.0, degrees, center=[0, 0])
    return out


def _translate(f: Any, images: Tensor, x: float, y: float) -> Tensor:
    out: Tensor = f.affine(images, 0.0, [int(x), int(y)], 1.0, [0.0, 0.0])
    return out


def _colour(name: str) -> Op:
    """Kernels that know grey and RGB only; a fourth channel is left alone."""

    def op(f: Any, images: Tensor, value: float, size: tuple[int, int]) -> Tensor:
        kernel = getattr(f, name)
        more = () if name in ("autocontrast", "equalize") else (1 + 0.9 * value,)
        if images.shape[1] <= 3:
            return kernel(images, *more)  # type: ignore[no-any-return]
        return torch.cat([kernel(images[:, :3], *more), images[:, 3:]], dim=1)

    return op


OPS: dict[str, Op] = {
    "identity": lambda f, x, v, s: x,
    "shear_x": lambda f, x, v, s: _shear(f, x, 0.3 * v, 0.0),
    "shear_y": lambda f, x, v, s: _shear(f, x, 0.0, 0.3 * v),
    "translate_x": lambda f, x, v, s: _translate(f, x, 150 / 331 * s[1] * v, 0.0),
    "translate_y": lambda f, x, v, s: _translate(f, x, 0.0, 150 / 331 * s[0] * v),
    "rotate": lambda f, x, v, s: f.rotate(x, 30.0 * v),
    "brightness": _colour("adjust_brightness"),
    "color": _colour("adjust_saturation"),
    "contrast": _colour("adjust_contrast"),
    "sharpness": _colour("adjust_sharpness"),
    "posterize": lambda f, x, v, s: f.posterize(x, 8 - round(4 * abs(v))),
    "solarize": lambda f, x, v, s: f.solarize(x, 255.0 * (1 - abs(v))),
    "autocontrast": _colour("autocontrast"),
    "equalize": _colour("equalize"),
}
_SIGNED = frozenset(
    {"shear_x", "shear_y", "translate_x", "translate_y", "rotate"}
    | {"brightness", "color", "contrast", "sharpness"}
)


class RandAugment:
    """uint8 images to uint8 images.

    Args:
        layers: operations an image goes through.
        magnitude: their strength, 0 to 30.

    Raises:
        UserError: torchvision is not installed.
    """

    def __init__(self, layers: int, magnitude: int) -> None:
        self._layers, self._strength = layers, magnitude / LEVELS
        try:
            from torchvision.transforms.v2 import functional
        except ImportError as error:
            raise UserError(
                "augmentation.randaugment_layers: torchvision is not installed: "
                "pip install torchvision"
            ) from error
        self._functional = functional

    def __call__(self, images_BCHW: Tensor, generator: torch.Generator) -> Tensor:
        """Augment one batch; ``generator`` is advanced by ``2 B`` numbers a layer."""
        images_BCHW = images_BCHW.clone()
        names = list(OPS)
        for _ in range(self._layers):
            draws_2B = torch.rand((2, len(images_BCHW)), generator=generator)
            chosen_B = (draws_2B[0] * len(names)).long().clamp(max=len(names) - 1)
            minus_B = draws_2B[1] < 0.5
            for index, name in enumerate(names):
                for sign in (1.0, -1.0) if name in _SIGNED else (1.0,):
                    own_B = chosen_B == index
                    if name in _SIGNED:
                        own_B &= minus_B if sign < 0 else ~minus_B
                    rows = own_B.nonzero().flatten().to(images_BCHW.device)
                    if len(rows):
                        images_BCHW[rows] = self._apply(name, images_BCHW[rows], sign)
        return images_BCHW

    def _apply(self, name: str, images_BCHW: Tensor, sign: float) -> Tensor:
        size = (images_BCHW.shape[2], images_BCHW.shape[3])
        return OPS[name](self._functional, images_BCHW, sign * self._strength, size)
