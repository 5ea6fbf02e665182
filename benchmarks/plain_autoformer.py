"""A straightforward AutoFormer, the other side of `autoformer_training.py`.

Written from the paper (Chen et al. 2021) and the layout of its public files, as one would write it
first: every layer slices its own tensors, rows of queries, keys and values are put together at
every call, relative positions are tables gathered for all pairs, and attention holds its map.
Nothing is slower than it need be in that form: where tokens lie is worked out once, and queries are
scaled before they are multiplied. Dropout and stochastic depth are left out, as on our side.

Shapes: B images, H heads, N tokens, D channels, d head width, I inner width (H · d).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.architecture import Architecture

HEAD_DIM, REACH, EPS = 64, 14, 1e-5


@dataclass(frozen=True)
class Member:
    """One network: a width, and one number of heads and one hidden width a layer."""

    width: int
    heads: tuple[int, ...]
    hidden: tuple[int, ...]

    @classmethod
    def of(cls, architecture: Architecture) -> Member:
        """The same network in this form."""
        stage = architecture.stages[0]
        return cls(
            width=stage.width,
            heads=tuple(block.heads for block in stage.blocks),
            hidden=tuple(block.mlp_hidden for block in stage.blocks),
        )


class SlicedLinear(nn.Linear):
    """A linear layer of which the first outputs and inputs are used."""

    def forward(self, x: Tensor, outputs: int) -> Tensor:
        """``(…, inputs)`` → ``(…, outputs)``."""
        return F.linear(x, self.weight[:outputs, : x.shape[-1]], self.bias[:outputs])


class SlicedQKV(nn.Linear):
    """Queries, keys and values in one product; their rows are stored in turns."""

    def forward(self, x: Tensor, inner: int) -> Tensor:
        """``(…, inputs)`` → ``(…, 3 · inner)``."""
        columns = self.weight[:, : x.shape[-1]]
        weight = torch.cat([columns[turn : 3 * inner : 3] for turn in range(3)])
        return F.linear(x, weight, self.bias[: 3 * inner])


class SlicedNorm(nn.LayerNorm):
    """A layer norm over the first channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        width = x.shape[-1]
        return F.layer_norm(x, (width,), self.weight[:width], self.bias[:width], self.eps)


class PairTable(nn.Module):
    """Vectors of all pairs of tokens, from tables of rows and of columns; entry 0 is for pairs
    with the class token."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings_table_v = nn.Parameter(torch.randn(2 * REACH + 2, HEAD_DIM) * 0.1)
        self.embeddings_table_h = nn.Parameter(torch.randn(2 * REACH + 2, HEAD_DIM) * 0.1)

    def forward(self, down_NN: Tensor, right_NN: Tensor) -> Tensor:
        """``(N, N, d)``."""
        return self.embeddings_table_v[down_NN] + self.embeddings_table_h[right_NN]


class Attention(nn.Module):
    """Softmax attention with relative positions of keys and values."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.qkv = SlicedQKV(width, 3 * inner)
        self.rel_pos_embed_k = PairTable()
        self.rel_pos_embed_v = PairTable()
        self.proj = SlicedLinear(inner, width)

    def forward(self, y_BND: Tensor, heads: int, places: tuple[Tensor, Tensor]) -> Tensor:
        """``(B, N, D)`` → the same."""
        batch, tokens, width = y_BND.shape
        qkv_BNI = self.qkv(y_BND, heads * HEAD_DIM)
        qkv_3BHNd = qkv_BNI.view(batch, tokens, 3, heads, HEAD_DIM).permute(2, 0, 3, 1, 4)
        q_BHNd, k_BHNd, v_BHNd = qkv_3BHNd
        q_BHNd = q_BHNd * HEAD_DIM**-0.5
        near_BHNN = torch.einsum("bhnd,nmd->bhnm", q_BHNd, self.rel_pos_embed_k(*places))
        share_BHNN = (q_BHNd @ k_BHNd.transpose(2, 3) + near_BHNN).softmax(dim=3)
        near_BHNd = torch.einsum("bhnm,nmd->bhnd", share_BHNN, self.rel_pos_embed_v(*places))
        mixed_BHNd = share_BHNN @ v_BHNd + near_BHNd
        return self.proj(mixed_BHNd.transpose(1, 2).reshape(batch, tokens, -1), width)


class Layer(nn.Module):
    """Attention and MLP, each behind a norm and on a residual stream."""

    def __init__(self, width: int, inner: int, hidden: int) -> None:
        super().__init__()
        self.attn = Attention(width, inner)
        self.attn_layer_norm = SlicedNorm(width, eps=EPS)
        self.ffn_layer_norm = SlicedNorm(width, eps=EPS)
        self.fc1 = SlicedLinear(width, hidden)
        self.fc2 = SlicedLinear(hidden, width)

    def forward(
        self, x_BND: Tensor, heads: int, hidden: int, places: tuple[Tensor, Tensor]
    ) -> Tensor:
        """``(B, N, D)`` → the same."""
        x_BND = x_BND + self.attn(self.attn_layer_norm(x_BND), heads, places)
        made_BNF = F.gelu(self.fc1(self.ffn_layer_norm(x_BND), hidden))
        return x_BND + self.fc2(made_BNF, x_BND.shape[-1])


class PlainAutoFormer(nn.Module):
    """The supernet; its tensors are named as in the public files.

    Args:
        width, heads, depth, ratio: of the stored tensors (tiny: 256, 4, 14, 4).
        side: patches along each side of an image.
        patch: their side in pixels.
        classes: outputs.
    """

    def __init__(
        self,
        width: int = 256,
        heads: int = 4,
        depth: int = 14,
        ratio: int = 4,
        *,
        side: int = 14,
        patch: int = 16,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        inner, hidden = heads * HEAD_DIM, width * ratio
        self.patch_embed_super = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.pos_embed = nn.Parameter(torch.randn(1, side * side + 1, width) * 0.02)
        self.blocks = nn.ModuleList(Layer(width, inner, hidden) for _ in range(depth))
        self.norm = SlicedNorm(width, eps=EPS)
        self.head = nn.Linear(width, classes)
        down_NN, right_NN = _places(side)
        self.register_buffer("down_NN", down_NN, persistent=False)
        self.register_buffer("right_NN", right_NN, persistent=False)

    def forward(self, images_BCHW: Tensor, member: Member) -> Tensor:
        """Logits ``(B, classes)`` of one member."""
        width, patching = member.width, self.patch_embed_super["proj"]
        x_BDHW = F.conv2d(
            images_BCHW, patching.weight[:width], patching.bias[:width], patching.stride
        )
        class_B1D = self.cls_token[..., :width].expand(len(images_BCHW), -1, -1)
        x_BND = torch.cat([class_B1D, x_BDHW.flatten(2).transpose(1, 2)], dim=1)
        x_BND = x_BND + self.pos_embed[..., :width]
        places = (self.down_NN, self.right_NN)
        for layer, heads, hidden in zip(self.blocks, member.heads, member.hidden, strict=False):
            x_BND = layer(x_BND, heads, hidden, places)
        pooled_BD = self.norm(x_BND)[:, 1:].mean(dim=1)
        return F.linear(pooled_BD, self.head.weight[:, :width], self.head.bias)


def _places(side: int) -> tuple[Tensor, Tensor]:
    """For every pair of tokens its entry in the tables of rows and of columns, ``(N, N)`` each."""
    place = torch.arange(side * side)
    found = []
    for at in (place // side, place % side):
        distance = (at[None, :] - at[:, None]).clamp(-REACH, REACH)
        found.append(F.pad(distance + REACH + 1, (1, 0, 1, 0)))
    return found[0], found[1]
