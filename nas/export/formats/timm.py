"""Weights for timm's ``VisionTransformer``, where the architecture is a plain ViT.

The folder is one that ``timm.create_model("local-dir:FOLDER")`` takes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.export.format import Call, Format, Material, module_call
from nas.export.formats import FORMATS
from nas.run_folder import read_json, write_json
from search_spaces.architecture import Architecture, Block

if TYPE_CHECKING:
    from torch import Tensor

CONFIG, WEIGHTS = "timm/config.json", "timm/model.safetensors"
BASE = "vit_tiny_patch16_224"  # a name that timm knows; the arguments say the rest


def why_not_plain(a: Architecture) -> str | None:
    """Why timm's ``VisionTransformer`` is another network, or None."""
    blocks = [block for _, block in a.blocks()]
    width = a.stages[0].width
    reasons = {
        "several stages": len(a.stages) > 1,
        f"the embedding {a.embedding}": a.embedding.op != "conv",
        f"positions from {a.position}": a.position.op != "table",
        "other attention than softmax": any(b.attention.op != "softmax" for b in blocks),
        "token reduction": any(b.reduction.op != "none" for b in blocks),
        "layers of different heads or MLP": len({_sizes(block) for block in blocks}) > 1,
        "heads that do not share out the width": blocks[0].inner != width,
        f"{a.special_tokens} special tokens": a.special_tokens > 1,
        f"norm_eps={a.norm_eps}": a.norm_eps != 1e-6,  # timm's is fixed
        "patches that do not divide the image": any(s % a.patch_size for s in a.image_size),
    }
    found = [reason for reason, holds in reasons.items() if holds]
    return f"no plain ViT: {', '.join(found)}" if found else None


def _sizes(block: Block) -> tuple[int, int, int]:
    return block.heads, block.head_dim, block.mlp_hidden


def timm_arguments(a: Architecture) -> dict[str, Any]:
    """What ``timm.models.VisionTransformer`` is built with, classes apart."""
    block = a.stages[0].blocks[0]
    return {
        "img_size": list(a.image_size),
        "patch_size": a.patch_size,
        "in_chans": a.channels,
        "embed_dim": a.stages[0].width,
        "depth": a.depth,
        "num_heads": block.heads,
        "mlp_ratio": block.mlp_hidden / a.stages[0].width,
        "class_token": a.special_tokens == 1,
        "global_pool": "token" if a.pooling == "class" else "avg",
        "fc_norm": False,  # the norm stands in front of the mean, as here
        "pre_norm": False,
    }


def timm_weights(state: Mapping[str, Tensor], a: Architecture) -> dict[str, Tensor]:
    """Our tensors under timm's names."""
    import torch

    table_ND = state["position.table"].flatten(0, 1)
    made = {
        "patch_embed.proj.weight": state["embedding.weight"],
        "patch_embed.proj.bias": state["embedding.bias"],
        "norm.weight": state["norm.norm_weight"],
        "norm.bias": state["norm.norm_bias"],
        "head.weight": state["head.weight"],
        "head.bias": state["head.bias"],
    }
    if a.special_tokens:
        table_ND = torch.cat([state["position.special"], table_ND])
        made["cls_token"] = state["tokens.special"][None]
    made["pos_embed"] = table_ND[None]
    for layer in range(a.depth):
        ours, theirs = f"stages.0.blocks.{layer}", f"blocks.{layer}"
        for kind in ("weight", "bias"):
            qkv = [state[f"{ours}.attention.{part}_{kind}"] for part in "qkv"]
            made |= {
                f"{theirs}.norm1.{kind}": state[f"{ours}.attention.norm_{kind}"],
                f"{theirs}.attn.qkv.{kind}": torch.cat(qkv),
                f"{theirs}.attn.proj.{kind}": state[f"{ours}.attention.o_{kind}"],
                f"{theirs}.norm2.{kind}": state[f"{ours}.mlp.norm_{kind}"],
                f"{theirs}.mlp.fc1.{kind}": state[f"{ours}.mlp.fc1_{kind}"],
                f"{theirs}.mlp.fc2.{kind}": state[f"{ours}.mlp.fc2_{kind}"],
            }
    return made


@FORMATS.register
class Timm(Format):
    """A folder for ``timm.create_model``."""

    name = "timm"
    summary = "weights for timm's VisionTransformer, of a plain ViT"
    files = (CONFIG, WEIGHTS)
    runtime = "PyTorch, timm"

    def unavailable(self) -> str | None:
        """It is checked by timm itself."""
        if importlib.util.find_spec("timm") is None:
            return "the package timm is not installed"
        return None

    def refuses(self, architecture: Architecture) -> str | None:
        """See ``why_not_plain``."""
        return why_not_plain(architecture)

    def write(self, material: Material, folder: Path) -> None:
        """See ``Format.write``."""
        from supernet.training.checkpoint import save_tensors

        a, transform = material.architecture, material.best["transform"]
        config = {
            "architecture": BASE,
            "num_classes": len(material.classes),
            "model_args": timm_arguments(a),
            "pretrained_cfg": {
                "input_size": [a.channels, *a.image_size],
                "fixed_input_size": True,
                "interpolation": "bilinear",
                "mean": transform["mean"],
                "std": transform["std"],
                "num_classes": len(material.classes),
                "label_names": material.classes,
                "first_conv": "patch_embed.proj",
                "classifier": "head",
            },
        }
        write_json(folder / CONFIG, config)
        save_tensors(folder / WEIGHTS, timm_weights(material.model.state_dict(), a))

    def open(self, folder: Path, threads: int) -> Call:
        """See ``Format.open``."""
        import timm

        read_json(folder / CONFIG)  # a damaged one is told better here
        path = (folder / CONFIG).parent
        return module_call(timm.create_model(f"local-dir:{path}", pretrained=True).eval(), threads)
