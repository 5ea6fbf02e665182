"""AutoFormer as its paper and public files describe it, one architecture at a time.

Written from the description alone; it shares no code with the supernet. State dicts are in the
public format, with random values.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def random_supernet(
    width: int, heads: int, depth: int, ratio: float, *, grid: int, patch: int, classes: int
) -> dict[str, Tensor]:
    """Tensors by their public names; reach 14, heads of 64."""
    generator = torch.Generator().manual_seed(0)
    inner, hidden = 64 * heads, int(width * ratio)

    def draw(*shape: int, scale: float = 0.1) -> Tensor:
        return scale * torch.randn(*shape, generator=generator)

    made = {
        "cls_token": draw(1, 1, width, scale=1.0),
        "pos_embed": draw(1, grid * grid + 1, width, scale=1.0),
        "patch_embed_super.proj.weight": draw(width, 3, patch, patch),
        "patch_embed_super.proj.bias": draw(width),
        "norm.weight": 1 + draw(width),
        "norm.bias": draw(width),
        "head.weight": draw(classes, width),
        "head.bias": draw(classes),
    }
    for i in range(depth):
        at = f"blocks.{i}"
        made |= {
            f"{at}.attn.qkv.weight": draw(3 * inner, width),
            f"{at}.attn.qkv.bias": draw(3 * inner, scale=1.0),
            f"{at}.attn.proj.weight": draw(width, inner),
            f"{at}.attn.proj.bias": draw(width),
            f"{at}.fc1.weight": draw(hidden, width),
            f"{at}.fc1.bias": draw(hidden),
            f"{at}.fc2.weight": draw(width, hidden),
            f"{at}.fc2.bias": draw(width),
        }
        for norm in ("attn_layer_norm", "ffn_layer_norm"):
            made |= {f"{at}.{norm}.weight": 1 + draw(width), f"{at}.{norm}.bias": draw(width)}
        for to in "kv":
            for axis in "vh":
                name = f"{at}.attn.rel_pos_embed_{to}.embeddings_table_{axis}"
                made[name] = draw(30, 64, scale=0.3)
    return made


def relative_pairs(tables: dict[str, Tensor], tokens: int) -> Tensor:
    """Vectors of all pairs ``(N, N, 64)``, gathered."""
    side = int((tokens - 1) ** 0.5)
    place = torch.arange(tokens - 1)
    down = place[None, :] // side - place[:, None] // side
    right = place[None, :] % side - place[:, None] % side
    index_v = F.pad(down.clamp(-14, 14) + 15, (1, 0, 1, 0))
    index_h = F.pad(right.clamp(-14, 14) + 15, (1, 0, 1, 0))
    return tables["v"][index_v] + tables["h"][index_h]


def forward(
    tensors: dict[str, Tensor],
    images_BCHW: Tensor,
    *,
    width: int,
    heads: list[int],
    ratios: list[float],
) -> Tensor:
    """Logits of the member of this width, with one number of heads and one ratio a layer."""
    e = width
    kernel = tensors["patch_embed_super.proj.weight"][:e]
    x = F.conv2d(
        images_BCHW, kernel, tensors["patch_embed_super.proj.bias"][:e], stride=kernel.shape[-1]
    )
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([tensors["cls_token"][..., :e].expand(len(x), -1, -1), x], dim=1)
    x = x + tensors["pos_embed"][..., :e]

    def norm(x: Tensor, name: str) -> Tensor:
        weight, bias = tensors[f"{name}.weight"][:e], tensors[f"{name}.bias"][:e]
        return F.layer_norm(x, (e,), weight, bias, eps=1e-5)

    for i, (h, ratio) in enumerate(zip(heads, ratios, strict=True)):
        block = {k.split(".", 2)[2]: v for k, v in tensors.items() if k.startswith(f"blocks.{i}.")}
        at = f"blocks.{i}"
        x = x + _attention(block, norm(x, f"{at}.attn_layer_norm"), e, h)
        y, hidden = norm(x, f"{at}.ffn_layer_norm"), int(e * ratio)
        y = F.gelu(F.linear(y, block["fc1.weight"][:hidden, :e], block["fc1.bias"][:hidden]))
        x = x + F.linear(y, block["fc2.weight"][:e, :hidden], block["fc2.bias"][:e])
    x = norm(x, "norm")[:, 1:].mean(dim=1)
    return F.linear(x, tensors["head.weight"][:, :e], tensors["head.bias"])


def _attention(block: dict[str, Tensor], y: Tensor, e: int, heads: int) -> Tensor:
    d = 64 * heads
    columns = block["attn.qkv.weight"][:, :e]
    weight = torch.cat([columns[turn : 3 * d : 3] for turn in range(3)])
    qkv = F.linear(y, weight, block["attn.qkv.bias"][: 3 * d])
    batch, tokens, _ = y.shape
    q, k, v = qkv.reshape(batch, tokens, 3, heads, 64).permute(2, 0, 3, 1, 4)
    pairs = {
        to: relative_pairs(
            {a: block[f"attn.rel_pos_embed_{to}.embeddings_table_{a}"] for a in "vh"}, tokens
        )
        for to in "kv"
    }
    scale = 64**-0.5
    logits = q @ k.transpose(-2, -1) * scale
    logits = logits + torch.einsum("bhnd,nmd->bhnm", q, pairs["k"]) * scale
    share = logits.softmax(dim=-1)
    out = share @ v + torch.einsum("bhnm,nmd->bhnd", share, pairs["v"])
    out = out.transpose(1, 2).reshape(batch, tokens, d)
    return F.linear(out, block["attn.proj.weight"][:e, :d], block["attn.proj.bias"][:e])
