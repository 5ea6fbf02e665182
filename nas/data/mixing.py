"""Blending two images of a batch and their labels: mixup and cutmix.

Mixup: Zhang et al., arXiv:1710.09412. Cutmix: Yun et al., arXiv:1905.04899. One share per batch, as
in timm: the batch is blended with itself in reverse order.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nas.config import AugmentationConfig
from supernet.training.loop import Mix, no_mix


def mixer(config: AugmentationConfig, num_classes: int) -> Mix:
    """What ``config`` asks for; no change, and no number drawn, where it asks for nothing."""
    if not config.mixup and not config.cutmix:
        return no_mix
    return Mixer(config.mixup, config.cutmix, num_classes)


class Mixer:
    """Augmented images and labels to blended images and shares ``(B, K)``.

    Args:
        mixup: alpha of the Beta distribution of the share; 0: never.
        cutmix: the same for the area; with both, each batch takes one of them at random.
        num_classes: K.
    """

    def __init__(self, mixup: float, cutmix: float, num_classes: int) -> None:
        self._mixup, self._cutmix, self._num_classes = mixup, cutmix, num_classes

    def __call__(
        self, images_BCHW: Tensor, labels_B: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Blend a batch.

        Args:
            images_BCHW: float.
            labels_B: int64.
            generator: on the CPU, the only source of chance.

        Returns:
            Images of the same shape, and for each the share of every class, summing to 1.
        """
        which, place_x, place_y = torch.rand(3, generator=generator).tolist()
        cuts = self._cutmix > 0 and (self._mixup <= 0 or which < 0.5)
        share = _beta(self._cutmix if cuts else self._mixup, generator)
        if cuts:
            images_BCHW, share = _cut(images_BCHW, share, place_x, place_y)
        else:
            images_BCHW = images_BCHW.lerp(images_BCHW.flip(0), 1 - share)
        own_BK = F.one_hot(labels_B, self._num_classes).to(images_BCHW.dtype)
        return images_BCHW, own_BK.lerp(own_BK.flip(0), 1 - share)


def _cut(images_BCHW: Tensor, share: float, x: float, y: float) -> tuple[Tensor, float]:
    """A rectangle of the other image, and the share that is left of each."""
    height, width = images_BCHW.shape[2:]
    side = (1 - share) ** 0.5
    top, bottom = _ends(y, side, height)
    left, right = _ends(x, side, width)
    images = images_BCHW.clone()
    images[:, :, top:bottom, left:right] = images_BCHW.flip(0)[:, :, top:bottom, left:right]
    return images, 1 - (bottom - top) * (right - left) / (height * width)


def _ends(place: float, side: float, length: int) -> tuple[int, int]:
    """A centre anywhere; what would lie outside is cut off."""
    centre, half = int(place * length), int(side * length) // 2
    return max(centre - half, 0), min(centre + half, length)


def _beta(alpha: float, generator: torch.Generator) -> float:
    """A draw of Beta(alpha, alpha), as the ratio of two gamma draws."""
    a, b = torch._standard_gamma(
        torch.full((2,), alpha, dtype=torch.float64), generator=generator
    ).tolist()
    return a / (a + b) if a + b > 0 else 0.5
