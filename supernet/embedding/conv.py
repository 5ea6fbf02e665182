"""Patch embedding: one linear map a patch, as a strided convolution (ViT).

The kernel is elastic in the patch size: the master is kept at the smallest patch and resized by
the pseudo-inverse of bilinear resizing (FlexiViT, eq. 4), so that a resized patch gives the token
of the original one.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from search_spaces.architecture import OpSetting
from search_spaces.card import EmbeddingCard, ParameterSpec
from search_spaces.workload import Kernel, Sizes, conv
from supernet.embedding import EMBEDDINGS
from supernet.operators import Embedding, Weights


def _grid(image_size: tuple[int, int], patch: int, setting: OpSetting) -> tuple[int, int] | None:
    if any(side % patch for side in image_size):
        return None
    return image_size[0] // patch, image_size[1] // patch


def _parameters(setting: OpSetting) -> tuple[ParameterSpec, ...]:
    return (
        ParameterSpec(
            name="weight", shape=lambda s: (s.width, s.channels, s.patch, s.patch), rule="patch"
        ),
        ParameterSpec(name="bias", shape=lambda s: (s.width,), init="zeros"),
    )


def _kernels(sizes: Sizes, setting: OpSetting) -> list[Kernel]:
    area, width = sizes.patch * sizes.patch, sizes.width
    pixels = sizes.tokens * area * sizes.channels
    pads = (sizes.image_h % sizes.patch + sizes.image_w % sizes.patch) > 0
    # The map and its tokens in order hold the most, unless the kernel, which is reordered, is
    # larger than these tokens.
    stream = sizes.all_tokens * width
    reordered = np.maximum(area * sizes.channels * width - stream, 0)
    return [
        conv(
            sizes.tokens,
            area,
            width,
            sizes.channels,
            read=pixels,
            live=sizes.tokens * width + stream + pads * pixels,
            scratch=reordered,
        )
    ]


@EMBEDDINGS.register
class ConvEmbedding(Embedding):
    """Non-overlapping patches; an image the patch does not divide is padded at its far sides."""

    card = EmbeddingCard(
        name="conv",
        summary="one linear map a patch, elastic in the patch size",
        source="ViT, FlexiViT",
        parameters=_parameters,
        grid=_grid,
        kernels=_kernels,
    )

    def forward(
        self, images_BCHW: Tensor, patch: int, w: Weights, setting: OpSetting
    ) -> tuple[Tensor, tuple[int, int]]:
        """See ``Embedding.forward``."""
        below, right = (-images_BCHW.shape[2] % patch, -images_BCHW.shape[3] % patch)
        if below or right:
            images_BCHW = F.pad(images_BCHW, (0, right, 0, below))
        map_BDHW = F.conv2d(images_BCHW, w["weight"], w["bias"], stride=patch)
        # A transposed residual stream would slow every sum and norm behind it.
        x_BND = map_BDHW.flatten(2).transpose(1, 2).contiguous()
        return x_BND, (map_BDHW.shape[2], map_BDHW.shape[3])
