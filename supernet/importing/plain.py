"""Plain vision transformers: timm's tensor names to this project's.

Everything that changes the function is either folded into a weight, exactly, or refused: a layer's
scale (LayerScale) into the projection in front of it, missing biases as zeros.

Shapes: D width, N tokens, p patch side, I inner width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from search_spaces.architecture import Architecture, Block, OpSetting, Stage
from search_spaces.errors import UserError
from supernet.importing.imported import Imported

MOST_SPECIAL = 2


@dataclass(frozen=True, kw_only=True)
class PlainSettings:
    """What tensors do not tell.

    Attributes:
        heads: of every layer.
        eps: of the layer norms.
        pooling: ``class`` or ``mean``.
        special_in_table: whether special tokens have rows in the table of positions.
        mean, std: how images were standardised.
    """

    heads: int
    eps: float
    pooling: str
    special_in_table: bool = True
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def from_plain(origin: str, tensors: Mapping[str, Tensor], settings: PlainSettings) -> Imported:
    """Weights under timm's names (``blocks.0.attn.qkv.weight``) as this project's.

    Raises:
        UserError: a tensor is missing, or there is one that no plain vision transformer has.
    """
    return _Renamer(origin, tensors, settings).rename()


class _Renamer:
    def __init__(self, origin: str, tensors: Mapping[str, Tensor], settings: PlainSettings) -> None:
        self.origin = origin
        self.left = {name: tensor.detach().float() for name, tensor in tensors.items()}
        self.settings = settings
        self.made: dict[str, Tensor] = {}

    def rename(self) -> Imported:
        patch_DCpp = self.take("patch_embed.proj.weight")
        self.made["embedding.weight"] = patch_DCpp
        self.made["embedding.bias"] = self.take("patch_embed.proj.bias", patch_DCpp.shape[0])
        special = self._special(patch_DCpp.shape[0])
        grid, position = self._position(special)
        blocks: list[Block] = []
        while f"blocks.{len(blocks)}.norm1.weight" in self.left:
            blocks.append(self._block(len(blocks)))
        if not blocks:
            raise UserError(f"{self.origin}: it has no tensor blocks.0.norm1.weight")
        self._norm("norm", "norm.norm")
        classes = self._head()
        if self.left:
            first = sorted(self.left)[0]
            raise UserError(
                f"{self.origin}: no plain vision transformer: it has {first} "
                f"(and {len(self.left) - 1} more tensors that none has)"
            )
        width, channels, patch, _ = patch_DCpp.shape
        architecture = Architecture(
            image_size=(grid * patch, grid * patch),
            channels=channels,
            patch_size=patch,
            stages=(Stage(width=width, blocks=tuple(blocks)),),
            position=position,
            special_tokens=special,
            pooling=self.settings.pooling,
            norm_eps=self.settings.eps,
        )
        return Imported(
            origin=self.origin,
            architecture=architecture,
            num_classes=classes,
            tensors=self.made,
            mean=self.settings.mean,
            std=self.settings.std,
        )

    def take(self, name: str, zeros: int | None = None) -> Tensor:
        """A tensor, which is not left any more; zeros where it may be missing and is."""
        if name not in self.left:
            if zeros is None:
                raise UserError(f"{self.origin}: it has no tensor {name}")
            return torch.zeros(zeros)
        return self.left.pop(name)

    def _norm(self, theirs: str, ours: str) -> None:
        self.made[f"{ours}_weight"] = self.take(f"{theirs}.weight")
        width = len(self.made[f"{ours}_weight"])
        self.made[f"{ours}_bias"] = self.take(f"{theirs}.bias", width)

    def _special(self, width: int) -> int:
        found = [
            self.take(name).view(-1, width)
            for name in ("cls_token", "reg_token")
            if name in self.left
        ]
        count = sum(map(len, found))
        if count > MOST_SPECIAL:
            raise UserError(
                f"{self.origin}: {count} class and register tokens; a space has at most "
                f"{MOST_SPECIAL}"
            )
        if found:
            self.made["tokens.special"] = torch.cat(found)
        return count

    def _position(self, special: int) -> tuple[int, OpSetting]:
        table_ND = self.take("pos_embed").squeeze(0)
        width = table_ND.shape[1]
        rows = torch.zeros(special, width)
        if self.settings.special_in_table:
            rows, table_ND = table_ND[:special], table_ND[special:]
        grid = math.isqrt(len(table_ND))
        if grid * grid != len(table_ND):
            raise UserError(
                f"{self.origin}: pos_embed has {len(table_ND)} rows, which is no square"
            )
        self.made["position.table"] = table_ND.reshape(grid, grid, width)
        self.made["position.special"] = rows
        return grid, OpSetting("table")

    def _block(self, index: int) -> Block:
        theirs, ours = f"blocks.{index}", f"stages.0.blocks.{index}"
        self._norm(f"{theirs}.norm1", f"{ours}.attention.norm")
        qkv_ID = self.take(f"{theirs}.attn.qkv.weight")
        bias_I = self.take(f"{theirs}.attn.qkv.bias", len(qkv_ID))
        pairs = zip("qkv", qkv_ID.chunk(3), bias_I.chunk(3), strict=True)
        for name, weight, bias in pairs:
            self.made[f"{ours}.attention.{name}_weight"] = weight
            self.made[f"{ours}.attention.{name}_bias"] = bias
        inner, heads = len(qkv_ID) // 3, self.settings.heads
        if inner % heads:
            raise UserError(f"{self.origin}: {heads} heads do not divide {inner} channels")
        self._projection(f"{theirs}.attn.proj", f"{ours}.attention.o", f"{theirs}.ls1.gamma")
        self._norm(f"{theirs}.norm2", f"{ours}.mlp.norm")
        hidden = self._projection(f"{theirs}.mlp.fc1", f"{ours}.mlp.fc1", None)
        self._projection(f"{theirs}.mlp.fc2", f"{ours}.mlp.fc2", f"{theirs}.ls2.gamma")
        return Block(
            attention=OpSetting("softmax"),
            heads=heads,
            head_dim=inner // heads,
            mlp_hidden=hidden,
        )

    def _projection(self, theirs: str, ours: str, scale: str | None) -> int:
        weight = self.take(f"{theirs}.weight")
        bias = self.take(f"{theirs}.bias", len(weight))
        if scale is not None and scale in self.left:
            gain = self.take(scale)
            weight, bias = weight * gain[:, None], bias * gain
        self.made[f"{ours}_weight"], self.made[f"{ours}_bias"] = weight, bias
        return len(weight)

    def _head(self) -> int:
        if "head.weight" not in self.left:
            return 0
        weight = self.take("head.weight")
        self.made["head.weight"] = weight
        self.made["head.bias"] = self.take("head.bias", len(weight))
        return len(weight)
