"""The reference model: a fixed transformer that is re-measured between all others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LARGE_PIXELS = 128  # from this side on networks have weights of tens of megabytes


@dataclass(frozen=True, slots=True)
class _Sizes:
    tokens_a_side: int
    width: int
    heads: int
    depth: int


# What slows a network that fits the cache is not what slows one that does not: beside networks of
# 224 px in ONNX Runtime, the small reference's time correlates by 0.0 to 0.3 with theirs from one
# minute to the next, the large one's by 0.5.
_SMALL = _Sizes(tokens_a_side=4, width=64, heads=4, depth=4)
_LARGE = _Sizes(tokens_a_side=7, width=384, heads=6, depth=4)


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x_BND: Tensor) -> Tensor:
        made = self.qkv(self.norms[0](x_BND)).unflatten(-1, (3, self.heads, -1))
        q, k, v = made.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        x_BND = x_BND + self.out(mixed.transpose(1, 2).flatten(2))
        hidden: Tensor = self.down(F.gelu(self.up(self.norms[1](x_BND))))
        return x_BND + hidden


class ReferenceModel(nn.Module):
    """Four plain layers of width 64 over 16 patches; of width 384 over 49 for large images.

    Its weights are constants: their values do not influence its speed.

    Args:
        channels: image channels.
        image_size: (height, width) in pixels.
    """

    def __init__(self, channels: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        height, width = image_size
        sizes = _LARGE if min(height, width) >= _LARGE_PIXELS else _SMALL
        side = sizes.tokens_a_side
        patch = (max(1, height // side), max(1, width // side))
        self.embed = nn.Conv2d(channels, sizes.width, patch, patch)
        self.layers = nn.Sequential(*[_Layer(sizes.width, sizes.heads) for _ in range(sizes.depth)])
        self.head = nn.Linear(sizes.width, 10)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.fill_(0.01)
        self.eval()

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x_BND = self.embed(images_BCHW).flatten(2).transpose(1, 2)
        logits: Tensor = self.head(self.layers(x_BND).mean(1))
        return logits
