"""Ways to run a model otherwise than it is written: without norms, along straight paths, watched.

They step in where torch's functions are called, so that they hold for every operator, those of
plug-ins included, and a model needs no hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

RECTIFIERS: frozenset[Any] = frozenset(
    (
        *(F.gelu, F.relu, F.silu, F.hardswish, F.elu, F.leaky_relu, F.relu6, F.mish),
        *(torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_, F.relu_),
    )
)
"""Activations that are off below zero and on above it, exactly or nearly."""

_LAST: frozenset[Any] = frozenset((F.layer_norm, F.rms_norm))
_CHANNELS: frozenset[Any] = frozenset((F.batch_norm, F.instance_norm, F.group_norm))
# Where gain and shift stand among the arguments.
_GAINS: dict[Any, tuple[int, int | None]] = {
    F.layer_norm: (2, 3),
    F.rms_norm: (2, None),
    F.batch_norm: (3, 4),
    F.instance_norm: (3, 4),
    F.group_norm: (2, 3),
}


class WithoutNorms(TorchFunctionMode):
    """Norms keep their gain and shift and take no statistics: ``x ⊙ γ + β``.

    With the initial γ = 1 and β = 0 that is the identity.

    Args:
        straight: activations count as ReLU too, which passes on what is positive.
    """

    def __init__(self, *, straight: bool = False) -> None:
        super().__init__()
        self._straight = straight

    def __torch_function__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """See ``TorchFunctionMode``."""
        given = dict(kwargs or {})
        if func in _LAST or func in _CHANNELS:
            return _affine(func, args, given)
        if self._straight and func in RECTIFIERS:
            return args[0].clamp(min=0)
        return func(*args, **given)


def _affine(func: Any, args: tuple[Any, ...], given: Mapping[str, Any]) -> Tensor:
    at_gain, at_shift = _GAINS[func]
    x: Tensor = args[0] if args else given["input"]
    for name, place in (("weight", at_gain), ("bias", at_shift)):
        value = given.get(name)
        if value is None and place is not None and len(args) > place:
            value = args[place]
        if value is None:
            continue
        if func in _CHANNELS:
            value = value.view(-1, *[1] * (x.ndim - 2))
        x = x * value if name == "weight" else x + value
    return x


class Watched(TorchFunctionMode):
    """Shows what goes into every rectifying activation.

    Args:
        see: called with it before it is rectified.
    """

    def __init__(self, see: Callable[[Tensor], None]) -> None:
        super().__init__()
        self._see = see

    def __torch_function__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """See ``TorchFunctionMode``."""
        if func in RECTIFIERS:
            self._see(args[0])
        return func(*args, **(kwargs or {}))
