"""Supernets of AutoFormer (Chen et al. 2021) in their public files.

Sizes come from the tensors, never from the file's name. Rows of q, k and v are interleaved by
three in the weight and are put apart; the bias is not interleaved: a member takes one prefix of it,
which the space's `joint_qkv_bias` keeps. The format does not tell two options of its training
script; both are taken as in all public files: mean pooling over the patches (`--gp`), heads of 64
whatever the width (`--change_qkv`).
"""

from __future__ import annotations

import argparse
import math
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.errors import UserError
from supernet.importing.sources import WEIGHTS

if TYPE_CHECKING:
    from torch import Tensor

    from supernet.importing.imported import Imported

HEAD_DIM = 64
EPS = 1e-5
# Widths, depths, heads and ratios of the public spaces, by the width of their tensors.
PUBLIC = {
    256: ([192, 216, 240], [12, 13, 14], [3, 4], [3.5, 4.0]),
    448: ([320, 384, 448], [12, 13, 14], [5, 6, 7], [3.0, 3.5, 4.0]),
    640: ([528, 576, 624], [14, 15, 16], [9, 10], [3.0, 3.5, 4.0]),
}


@WEIGHTS.register
class AutoFormerWeights:
    """``autoformer:FILE.pth``."""

    name = "autoformer"
    summary = "a supernet of AutoFormer: autoformer:FILE.pth"

    def read(self, where: str) -> Imported:
        """See ``WeightsReader.read``."""
        return _Reader(f"autoformer:{where}", load_tensors(Path(where).expanduser())).read()


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a training checkpoint; nothing in it is executed.

    Raises:
        UserError: there is no such file, or it holds more than tensors and plain values.
    """
    import torch

    if not path.is_file():
        raise UserError(f"init: {path}: no such file")
    try:
        # The trainer keeps its arguments beside the weights: a Namespace holds attributes only.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of newer pickle protocols; what it means is said below
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(f"init: {path}: refused: {_named(str(error))}; nothing was run") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise UserError(f"init: {path}: damaged, or no file of torch.save") from error
    found = found.get("model", found) if isinstance(found, Mapping) else found
    if not isinstance(found, Mapping) or not all(torch.is_tensor(t) for t in found.values()):
        raise UserError(f"init: {path}: it holds no state dict, neither whole nor under 'model'")
    return {str(name): tensor.detach().float() for name, tensor in found.items()}


def _named(message: str) -> str:
    """What torch says it would have had to run, in one line."""
    for line in message.splitlines():
        if "GLOBAL" in line or "Unsupported" in line:
            return line.strip().split(" was not")[0].removeprefix("WeightsUnpickler error: ")
    return "it holds more than tensors and plain values"


class _Reader:
    def __init__(self, origin: str, tensors: dict[str, Tensor]) -> None:
        self.origin = origin
        self.left = tensors
        self.made: dict[str, Tensor] = {}

    def read(self) -> Imported:
        from search_spaces.architecture import Architecture, Stage
        from supernet.importing.imported import IMAGENET_MEAN, IMAGENET_STD, Imported

        patch_DCpp = self.take("patch_embed_super.proj.weight")
        width, channels, patch, _ = patch_DCpp.shape
        self.made["embedding.weight"] = patch_DCpp
        self.made["embedding.bias"] = self.take("patch_embed_super.proj.bias")
        self.made["tokens.special"] = self.take("cls_token").view(1, width)
        grid = self._table()
        blocks: list[Any] = []
        reach: int | None = None
        while f"blocks.{len(blocks)}.attn.qkv.weight" in self.left:
            block, reach = self._block(len(blocks))
            blocks.append(block)
        if not blocks:
            raise UserError(f"{self.origin}: it has no tensor blocks.0.attn.qkv.weight")
        self._pair("norm", "norm.norm")
        classes = self._pair("head", "head.") if "head.weight" in self.left else 0
        if self.left:
            raise UserError(f"{self.origin}: no AutoFormer supernet: it has {min(self.left)}")
        architecture = Architecture(
            image_size=(grid * patch, grid * patch),
            channels=channels,
            patch_size=patch,
            stages=(Stage(width=width, blocks=tuple(blocks)),),
            position=self._position(reach),
            special_tokens=1,
            pooling="mean",
            norm_eps=EPS,
        )
        return Imported(
            origin=self.origin,
            architecture=architecture,
            num_classes=classes,
            tensors=self.made,
            nested=True,
            joint_qkv_bias=True,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            space=self._public(architecture),
        )

    def take(self, name: str) -> Tensor:
        if name not in self.left:
            raise UserError(f"{self.origin}: it has no tensor {name}")
        return self.left.pop(name)

    def _pair(self, theirs: str, ours: str) -> int:
        ours = ours if ours.endswith(".") else f"{ours}_"
        for leaf in ("weight", "bias"):
            self.made[f"{ours}{leaf}"] = self.take(f"{theirs}.{leaf}")
        return len(self.made[f"{ours}weight"])

    def _table(self) -> int:
        table_ND = self.take("pos_embed").squeeze(0)
        grid = math.isqrt(len(table_ND) - 1)
        if grid * grid != len(table_ND) - 1:
            raise UserError(f"{self.origin}: pos_embed has {len(table_ND)} rows, no square and one")
        self.made["position.special"] = table_ND[:1]
        self.made["position.table"] = table_ND[1:].reshape(grid, grid, -1)
        return grid

    def _block(self, index: int) -> tuple[Any, int | None]:
        from search_spaces.architecture import Block, OpSetting

        theirs, ours = f"blocks.{index}", f"stages.0.blocks.{index}"
        qkv_weight = self.take(f"{theirs}.attn.qkv.weight")
        if len(qkv_weight) % (3 * HEAD_DIM):
            raise UserError(
                f"{self.origin}: {theirs}.attn.qkv.weight has {len(qkv_weight)} rows, which are no "
                f"three times heads of {HEAD_DIM}"
            )
        for turn, name in enumerate("qkv"):
            self.made[f"{ours}.attention.{name}_weight"] = qkv_weight[turn::3]
        self.made[f"{ours}.attention.qkv_bias"] = self.take(f"{theirs}.attn.qkv.bias")
        reach = self._relative(theirs, ours)
        self._pair(f"{theirs}.attn.proj", f"{ours}.attention.o")
        self._pair(f"{theirs}.attn_layer_norm", f"{ours}.attention.norm")
        self._pair(f"{theirs}.ffn_layer_norm", f"{ours}.mlp.norm")
        hidden = self._pair(f"{theirs}.fc1", f"{ours}.mlp.fc1")
        self._pair(f"{theirs}.fc2", f"{ours}.mlp.fc2")
        block = Block(
            attention=OpSetting("softmax"),
            heads=len(qkv_weight) // (3 * HEAD_DIM),
            head_dim=HEAD_DIM,
            mlp_hidden=hidden,
        )
        return block, reach

    def _relative(self, theirs: str, ours: str) -> int | None:
        import torch

        if f"{theirs}.attn.rel_pos_embed_k.embeddings_table_v" not in self.left:
            return None
        rows = 0
        for to in "kv":
            special = []
            for axis, ending in (("rows", "v"), ("columns", "h")):
                table = self.take(f"{theirs}.attn.rel_pos_embed_{to}.embeddings_table_{ending}")
                special.append(table[:1])
                self.made[f"{ours}.attention.relative_{to}_{axis}"] = table[1:]
                rows = len(table)
            self._check_table(theirs, rows, special[0].shape[1])
            self.made[f"{ours}.attention.relative_{to}_special"] = torch.cat(special)
        return (rows - 2) // 2

    def _check_table(self, theirs: str, rows: int, width: int) -> None:
        if rows < 4 or rows % 2 or width != HEAD_DIM:
            raise UserError(
                f"{self.origin}: {theirs}: a table of relative positions has {rows} × {width} "
                f"entries; allowed is 2 · reach + 2 rows of {HEAD_DIM}"
            )

    def _position(self, reach: int | None) -> Any:
        from search_spaces.architecture import OpSetting

        if reach is None:
            return OpSetting("table")
        return OpSetting.of("relative2d", reach=reach, table=True)

    def _public(self, architecture: Any) -> dict[str, Any] | None:
        """The choices its authors searched, where the tensors are of a size they published."""
        from supernet.importing.fitting import declare

        width = architecture.stages[0].width
        if width not in PUBLIC:
            return None
        widths, depths, heads, ratios = PUBLIC[width]
        if max(depths) != architecture.depth:
            return None
        stage = {"width": widths, "depth": depths, "heads": heads, "mlp_ratio": ratios}
        return declare(architecture, stage, joint=True)
