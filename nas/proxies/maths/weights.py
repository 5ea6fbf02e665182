"""Untrained models, and their weights in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.architecture import Architecture
from supernet.extract import VisionTransformer, build_model

LARGEST = float(torch.finfo(torch.float64).max)


def fresh_model(architecture: Architecture, num_classes: int, seed: int) -> VisionTransformer:
    """The model of an architecture with weights drawn from ``seed``, in eval mode.

    The global random state is as before: only the generator of the CPU is used, and put back.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build_model(architecture, num_classes).eval()


def synapses(model: nn.Module) -> list[str]:
    """Names of the weights that multiply activations: matrices and kernels.

    Biases, gains of norms, tables of positions and special tokens are none.
    """
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.ndim >= 2 and parameter.numel() and name.endswith("weight")
    ]


def in_float64(model: nn.Module, *, positive: bool = False) -> dict[str, Tensor]:
    """Parameters and buffers as float64 copies by name, by their absolute values if ``positive``.

    Parameters are leaves that ask for gradients; the model itself is not touched.
    """
    made = {name: _copy(tensor, positive=positive) for name, tensor in model.named_parameters()}
    for parameter in made.values():
        parameter.requires_grad_()
    floats = ((n, b) for n, b in model.named_buffers() if b.is_floating_point())
    return made | {name: _copy(buffer, positive=False) for name, buffer in floats}


def _copy(tensor: Tensor, *, positive: bool) -> Tensor:
    copied = tensor.detach().to(torch.float64, copy=True)
    return copied.abs_() if positive else copied


def run(model: nn.Module, tensors: Mapping[str, Tensor], images_BCHW: Tensor) -> Tensor:
    """Logits of the model with other weights; it keeps its own."""
    logits: Any = torch.func.functional_call(model, dict(tensors), (images_BCHW,))
    made: Tensor = logits
    return made


def gradients(output: Tensor, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gradients of a scalar by name; zero where it does not depend on a weight."""
    found = torch.autograd.grad(output, list(weights.values()), allow_unused=True)
    return {
        name: torch.zeros_like(weight) if gradient is None else gradient
        for (name, weight), gradient in zip(weights.items(), found, strict=True)
    }


def finite(tensor: Tensor) -> Tensor:
    """The same with the largest number in place of overflows."""
    return tensor.nan_to_num(nan=LARGEST, posinf=LARGEST, neginf=-LARGEST)
