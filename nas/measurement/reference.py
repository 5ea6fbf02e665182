"""The reference model: a small fixed transformer that is re-measured between all others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_TOKENS_A_SIDE = 4
_WIDTH = 64
_HEADS = 4
_DEPTH = 4


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(_WIDTH), nn.LayerNorm(_WIDTH)])
        self.qkv = nn.Linear(_WIDTH, 3 * _WIDTH)
        self.out = nn.Linear(_WIDTH, _WIDTH)
        self.up = nn.Linear(_WIDTH, 4 * _WIDTH)
        self.down = nn.Linear(4 * _WIDTH, _WIDTH)

    def forward(self, x_BND: Tensor) -> Tensor:
        heads = self.qkv(self.norms[0](x_BND)).unflatten(-1, (3, _HEADS, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(heads[0], heads[1], heads[2])
        x_BND = x_BND + self.out(mixed.transpose(1, 2).flatten(2))
        hidden: Tensor = self.down(F.gelu(self.up(self.norms[1](x_BND))))
        return x_BND + hidden


class ReferenceModel(nn.Module):
    """Four plain layers of width 64 over 16 patches, the same for every space.

    Its weights are constants: their values do not influence its speed.

    Args:
        channels: image channels.
        image_size: (height, width) in pixels.
    """

    def __init__(self, channels: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        height, width = image_size
        patch = (max(1, height // _TOKENS_A_SIDE), max(1, width // _TOKENS_A_SIDE))
        self.embed = nn.Conv2d(channels, _WIDTH, patch, patch)
        self.layers = nn.Sequential(*[_Layer() for _ in range(_DEPTH)])
        self.head = nn.Linear(_WIDTH, 10)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.fill_(0.01)
        self.eval()

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x_BND = self.embed(images_BCHW).flatten(2).transpose(1, 2)
        logits: Tensor = self.head(self.layers(x_BND).mean(1))
        return logits
