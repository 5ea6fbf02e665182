"""Weights of other images: another standardisation, other channels, patches and grids.

Shapes: D width, C channels, p patch side.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from search_spaces.architecture import Architecture
from search_spaces.errors import UserError
from supernet.importing.imported import Imported
from supernet.layers import make_cut
from supernet.network import resolve

Standard = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and deviation per channel, of pixels in [0, 1]."""


def for_images(weights: Imported, channels: int, standard: Standard) -> dict[str, Tensor]:
    """The tensors, with a patch embedding for images that are standardised otherwise.

    A pixel is ``std · z + mean`` of what the network is given, and the weights expect
    ``(pixel − mean′) / std′``: both are linear, so they go into kernel and bias, exactly. Grey
    images are colour images of three equal channels.

    Raises:
        UserError: the weights know other channels.
    """
    made = dict(weights.tensors)
    kernel_DCpp, bias_D = made["embedding.weight"], made["embedding.bias"]
    theirs = kernel_DCpp.shape[1]
    if theirs != channels and channels != 1:
        raise UserError(
            f"{weights.origin}: made for images of {theirs} channels, not {channels}; "
            f"allowed is data.channels={theirs} or 1"
        )
    mean, std = standard
    if theirs != channels:
        mean, std = mean * theirs, std * theirs
    wanted_mean, wanted_std = weights.mean or mean, weights.std or std
    if len(wanted_mean) != theirs:
        wanted_mean, wanted_std = wanted_mean[:1] * theirs, wanted_std[:1] * theirs
    # In float64: the sum runs over all pixels of a patch.
    gain_C, shift_C = (
        torch.tensor(values, dtype=torch.float64)
        for values in (
            [s / t for s, t in zip(std, wanted_std, strict=True)],
            [(m - w) / t for m, w, t in zip(mean, wanted_mean, wanted_std, strict=True)],
        )
    )
    kernel = kernel_DCpp.double()
    bias = bias_D.double() + torch.einsum("dcij,c->d", kernel, shift_C)
    kernel = kernel * gain_C[:, None, None]
    if theirs != channels:
        kernel = kernel.sum(dim=1, keepdim=True)
    made["embedding.weight"], made["embedding.bias"] = kernel.float(), bias.float()
    return made


def resampled(
    tensors: Mapping[str, Tensor], architecture: Architecture, num_classes: int
) -> dict[str, Tensor]:
    """Tensors of one network at the patch size and grid of another that is alike otherwise.

    Patch kernels by FlexiViT's pseudo-inverse, tables of positions bicubically (see
    `supernet.layers`).
    """
    made = dict(tensors)
    for part in resolve(architecture, num_classes).parts():
        for spec in part.specs:
            name = f"{part.path}.{spec.name}"
            if name in made and spec.rule in ("patch", "grid"):
                cut = make_cut(spec, part.sizes, tuple(made[name].shape))
                made[name] = made[name] if cut is None else cut(made[name])
    return made
