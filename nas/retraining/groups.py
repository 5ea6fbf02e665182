"""Which parameters decay, and how fast each layer learns."""

from __future__ import annotations

import math
import re
from typing import Any

from torch import Tensor, nn

_BLOCK = re.compile(r"stages\.(\d+)\.blocks\.(\d+)\.")
_BEHIND = ("norm.", "head.")


def parameter_groups(
    model: nn.Module, weight_decay: float, layer_decay: float
) -> list[dict[str, Any]]:
    """Parameter groups for AdamW; ``scale`` is a group's share of the learning rate.

    Layer-wise decay (ELECTRA, arXiv:2003.10555; BEiT, arXiv:2106.08254, appendix): the head learns
    at the full rate, a block ``k`` layers below it at ``layer_decay ** k``, patch embedding and
    positions slowest. Matrices and kernels have weight decay; gains, shifts, biases and position
    tables have none.
    """
    depths = layer_numbers([name for name, _ in model.named_parameters()])
    top = max(depths.values(), default=0)
    groups: dict[tuple[int, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        decays = parameter.ndim >= 2 and name.endswith("weight")
        groups.setdefault((depths[name], decays), []).append(parameter)
    return [
        {
            "params": members,
            "weight_decay": weight_decay if decays else 0.0,
            "scale": layer_decay ** (top - depth),
        }
        for (depth, decays), members in groups.items()
    ]


def layer_numbers(names: list[str]) -> dict[str, int]:
    """0 for what stands in front of the blocks, then block by block, then norm and head.

    A module without this project's names is one layer.
    """
    blocks = sorted({found for name in names if (found := _block(name))})
    number = {block: index + 1 for index, block in enumerate(blocks)}
    behind = len(blocks) + 1
    layers: dict[str, int] = {}
    for name in names:
        block, stage = _block(name), re.match(r"stages\.(\d+)\.", name)
        if block:
            layers[name] = number[block]
        elif stage:  # a transition belongs to the first block of its stage
            layers[name] = number[(int(stage[1]), 0)]
        else:
            layers[name] = behind if name.startswith(_BEHIND) else 0
    return layers


def learning_rate_share(step: int, steps: int, warmup_share: float) -> float:
    """A warm-up, then a cosine to zero."""
    warmup = max(round(steps * warmup_share), 1)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))


def _block(name: str) -> tuple[int, int] | None:
    found = _BLOCK.match(name)
    return (int(found[1]), int(found[2])) if found else None
