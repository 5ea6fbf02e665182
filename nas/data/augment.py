"""Augmentation of whole batches in torch, from one explicit generator.

Shapes: B images, C channels, H by W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from nas.config import AugmentationConfig
from nas.data.dataset import Dataset
from nas.data.randaugment import RandAugment
from nas.data.transform import standardise

# Columns of one draw: one row of uniform numbers per image, so that a batch takes one call to the
# generator and an image's fate does not depend on which kinds of change are switched on.
_ROTATE, _SCALE, _SHIFT_X, _SHIFT_Y, _FLIP, _ERASE, _AREA, _ASPECT, _LEFT, _TOP = range(10)


class Augment:
    """uint8 images to augmented, standardised float32.

    Args:
        config: how strong.
        dataset: gives mean, deviation, whether mirroring is allowed and what fills the borders.
    """

    def __init__(self, config: AugmentationConfig, dataset: Dataset) -> None:
        self._config = config
        self._mean, self._std = dataset.transform.mean, dataset.transform.std
        self._mirror, self._padding = dataset.mirror, dataset.padding
        layers = config.randaugment_layers
        self._random = RandAugment(layers, config.randaugment_magnitude) if layers else None

    def __call__(self, images_BCHW: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Augment one batch.

        Args:
            images_BCHW: uint8.
            generator: on the CPU, the only source of chance; advanced by ``10 B`` numbers whatever
                the settings, on every device alike, and by ``2 B`` more for each layer of
                RandAugment.

        Returns:
            float32 of the same shape, zero mean and unit deviation over the training images.
        """
        config = self._config
        draws_BK = torch.rand((len(images_BCHW), 10), generator=generator).to(images_BCHW.device)
        if self._random is not None:
            images_BCHW = self._random(images_BCHW, generator)
        pixels_BCHW = images_BCHW.float().div_(255.0)
        if self._mirror or config.rotate_deg or config.scale or config.shift:
            pixels_BCHW = self._move(pixels_BCHW, draws_BK)
        if config.erase_probability and config.erase_area:
            pixels_BCHW = self._erase(pixels_BCHW, draws_BK)
        return standardise(pixels_BCHW, self._mean, self._std)

    def _move(self, pixels_BCHW: torch.Tensor, draws_BK: torch.Tensor) -> torch.Tensor:
        """Rotation, scale, shift and flip in one interpolation."""
        config = self._config
        signed_BK = draws_BK * 2 - 1
        angle_B = signed_BK[:, _ROTATE] * math.radians(config.rotate_deg)
        # The grid says where each output pixel looks: looking farther out shrinks the image.
        reach_B = 1 / (1 + signed_BK[:, _SCALE] * config.scale)
        cos_B, sin_B = angle_B.cos() * reach_B, angle_B.sin() * reach_B
        if self._mirror:
            flip_B = torch.where(draws_BK[:, _FLIP] < 0.5, -1.0, 1.0)
        else:
            flip_B = torch.ones_like(cos_B)
        # Grid coordinates run from -1 to 1, twice the side's share.
        shift_x_B = signed_BK[:, _SHIFT_X] * (2 * config.shift)
        shift_y_B = signed_BK[:, _SHIFT_Y] * (2 * config.shift)
        theta_B6 = torch.stack(
            [cos_B * flip_B, -sin_B, shift_x_B, sin_B * flip_B, cos_B, shift_y_B], dim=1
        )
        grid_BHW2 = F.affine_grid(
            theta_B6.view(-1, 2, 3), list(pixels_BCHW.shape), align_corners=False
        )
        return F.grid_sample(
            pixels_BCHW, grid_BHW2, padding_mode=self._padding, align_corners=False
        )

    def _erase(self, pixels_BCHW: torch.Tensor, draws_BK: torch.Tensor) -> torch.Tensor:
        """A rectangle of the training mean over some images (Zhong et al., arXiv:1708.04896)."""
        height, width = pixels_BCHW.shape[2:]
        area_B = draws_BK[:, _AREA] * self._config.erase_area
        stretch_B = (2.0 ** (draws_BK[:, _ASPECT] * 2 - 1)).sqrt()  # aspect from 1/2 to 2
        tall_B = (area_B.sqrt() * stretch_B).clamp(max=1.0) * height
        wide_B = (area_B.sqrt() / stretch_B).clamp(max=1.0) * width
        top_B = draws_BK[:, _TOP] * (height - tall_B)
        left_B = draws_BK[:, _LEFT] * (width - wide_B)
        rows_BH = _between(height, top_B, tall_B)
        columns_BW = _between(width, left_B, wide_B)
        chosen_B = draws_BK[:, _ERASE] < self._config.erase_probability
        hole_BHW = rows_BH[:, :, None] & columns_BW[:, None, :] & chosen_B[:, None, None]
        mean = pixels_BCHW.new_tensor(self._mean).view(1, -1, 1, 1)
        return torch.where(hole_BHW[:, None], mean, pixels_BCHW)


def _between(side: int, start_B: torch.Tensor, length_B: torch.Tensor) -> torch.Tensor:
    """Which of ``side`` pixel centres lie in each interval, ``(B, side)``."""
    centres = torch.arange(side, device=start_B.device) + 0.5
    return (centres >= start_B[:, None]) & (centres < (start_B + length_B)[:, None])


def generator_for(seed: int, *place: int) -> torch.Generator:
    """A generator that depends on the seed and the place alone, e.g. ``(seed, epoch, step)``.

    A run that continues at a step draws what the uninterrupted run drew there, without any state
    to store.
    """
    import numpy as np

    # The length goes in as well: trailing zeros alone make no difference to a SeedSequence.
    words = np.random.SeedSequence([seed, len(place), *place]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0]) & (2**63 - 1))


def shuffled_batches(
    count: int, batch_size: int, generator: torch.Generator
) -> Iterator[torch.Tensor]:
    """Index batches of one epoch, each image at most once.

    The last, partial batch is left out where there is a full one: every step then weighs the same.
    """
    order_N = torch.randperm(count, generator=generator)
    full = count - count % batch_size if count >= batch_size else count
    for start in range(0, full, batch_size):
        yield order_N[start : start + batch_size]
