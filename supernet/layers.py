"""Parameters: allocated from specs, and cut out of shared masters by their rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import mul

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.card import Init, ParameterSpec
from search_spaces.workload import Sizes

Cut = Callable[[Tensor], Tensor]
"""How one parameter comes out of its master: a view, or a resampling of it."""


@dataclass(frozen=True)
class Slice:
    """A block of a master, as one view.

    Attributes:
        start: where the block begins, per axis.
        shape: its shape.
        master_shape: that of the whole.
    """

    start: tuple[int, ...]
    shape: tuple[int, ...]
    master_shape: tuple[int, ...]

    def __call__(self, master: Tensor) -> Tensor:
        """The block."""
        if master.requires_grad:
            return master[self.index]
        # Half as dear as indexing, for tensors that take no time; its gradient would be dearer.
        strides = master.stride()
        begin = master.storage_offset() + sum(map(mul, self.start, strides))
        return master.as_strided(self.shape, strides, begin)

    @property
    def index(self) -> slice | tuple[slice, ...]:
        """What picks the block; trailing axes that are taken whole need no slice."""
        axes = list(zip(self.start, self.shape, self.master_shape, strict=True))
        while len(axes) > 1 and axes[-1] == (0, axes[-1][2], axes[-1][2]):
            axes.pop()
        slices = tuple(slice(begin, begin + size) for begin, size, _ in axes)
        return slices if len(slices) > 1 else slices[0]


class ParameterGroup(nn.Module):
    """The parameters of one operator, by name."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], inits: Mapping[str, Init]) -> None:
        super().__init__()
        for name, shape in shapes.items():
            tensor = torch.empty(shape)
            initialise(tensor, inits[name])
            self.register_parameter(name, nn.Parameter(tensor))

    @classmethod
    def of(cls, specs: Iterable[ParameterSpec], sizes: Sizes) -> ParameterGroup:
        """Parameters of exactly these sizes."""
        specs = tuple(specs)
        return cls(
            {spec.name: spec.shape(sizes) for spec in specs},
            {spec.name: spec.init for spec in specs},
        )

    def tensors(self) -> Mapping[str, Tensor]:
        """All parameters by name."""
        return self._parameters  # type: ignore[return-value]  # none of them is None

    def extra_repr(self) -> str:
        """Names and shapes, for ``print(model)``."""
        return ", ".join(f"{name}: {tuple(p.shape)}" for name, p in self.named_parameters())


def initialise(tensor: Tensor, init: Init) -> None:
    """Fill a parameter: ``linear`` is a truncated normal of variance 1 / fan-in."""
    if tensor.numel() == 0:  # a part that these sizes leave out, HiLo's low heads, say
        return
    with torch.no_grad():
        if init == "zeros":
            tensor.zero_()
        elif init == "ones":
            tensor.fill_(1.0)
        else:
            fan_in = math.prod(tensor.shape[1:])
            std = 0.02 if init == "normal" else fan_in**-0.5
            nn.init.trunc_normal_(tensor, std=std, a=-2 * std, b=2 * std)


def master_shapes(
    uses: Sequence[tuple[ParameterSpec, Sizes]],
) -> tuple[dict[str, tuple[int, ...]], dict[str, Init]]:
    """Shapes and initialisation of the masters that can serve all these uses."""
    shapes: dict[str, tuple[int, ...]] = {}
    inits: dict[str, Init] = {}
    for spec, sizes in uses:
        name = spec.master or spec.name
        shape = spec.shape(sizes)
        start = spec.start(sizes) if spec.start else (0,) * len(shape)
        need = tuple(int(a + b) for a, b in zip(start, shape, strict=True))
        have = shapes.get(name, (0,) * len(need))
        shapes[name] = tuple(max(a, b) for a, b in zip(have, need, strict=True))
        inits.setdefault(name, spec.init)
    return shapes, inits


def make_cut(spec: ParameterSpec, sizes: Sizes, master_shape: tuple[int, ...]) -> Cut | None:
    """How to cut a parameter of these sizes out of a master; None where it is the whole."""
    shape = tuple(int(axis) for axis in spec.shape(sizes))
    if spec.rule == "patch":
        return _patch_cut(shape, master_shape)
    if spec.rule == "grid":
        return _grid_cut(shape, master_shape)
    if spec.rule == "centre":
        margin = [m - s for m, s in zip(master_shape, shape, strict=True)]
        start = (*(0 for _ in margin[:-2]), *(side // 2 for side in margin[-2:]))
    else:
        start = tuple(map(int, spec.start(sizes))) if spec.start else (0,) * len(shape)
    return None if shape == master_shape else Slice(start, shape, master_shape)


def _patch_cut(shape: tuple[int, ...], master_shape: tuple[int, ...]) -> Cut | None:
    width, patch, stored = shape[0], shape[-1], master_shape[-1]
    if patch == stored:
        return None if shape == master_shape else Slice((0,) * len(shape), shape, master_shape)

    def cut(master_DCpp: Tensor) -> Tensor:
        resize = _resize_operator(stored, patch, master_DCpp.dtype, master_DCpp.device)
        kernels_KP = master_DCpp[:width].reshape(-1, stored * stored)
        return kernels_KP.mm(resize).view(shape)

    return cut


def _grid_cut(shape: tuple[int, ...], master_shape: tuple[int, ...]) -> Cut | None:
    grid, width = shape[:2], shape[2]
    if grid == master_shape[:2]:
        return None if shape == master_shape else Slice((0,) * len(shape), shape, master_shape)

    def cut(master_HWD: Tensor) -> Tensor:
        map_1DHW = master_HWD[..., :width].permute(2, 0, 1)[None]
        resized = F.interpolate(map_1DHW, size=grid, mode="bicubic", align_corners=False)
        return resized[0].permute(1, 2, 0)

    return cut


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is kept must also serve training
def _resize_operator(stored: int, patch: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """``patch_resize_matrix``, transposed, where and as the weights are."""
    return patch_resize_matrix(stored, patch).T.to(device, dtype).contiguous()


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def patch_resize_matrix(stored: int, patch: int) -> Tensor:
    """The map of patch kernels ``(patch², stored²)`` (FlexiViT, eq. 4), in float64.

    With B the matrix of bilinear resizing stored → patch, kernels map by the pseudo-inverse of
    its transpose, so that ``⟨B x, ŵ⟩ = ⟨x, w⟩``: exact for patches at least as large as stored.
    """
    basis = torch.eye(stored * stored, dtype=torch.float64).view(-1, 1, stored, stored)
    resized = F.interpolate(basis, size=(patch, patch), mode="bilinear", align_corners=False)
    kernel_map: Tensor = torch.linalg.pinv(resized.flatten(1))
    return kernel_map
