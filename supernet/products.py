"""Products with weights that do not change, by oneDNN where that is quicker than ``F.linear``.

oneDNN multiplies large matrices some 15 % quicker than the BLAS behind ``F.linear``, from weights
that it has laid out once, and applies GELU on the way out. It has no gradients. Whoever evaluates
hands weights over as ``Factor``: the choice travels with them, and operators call ``F.linear``.
The operators are those that torch.inductor puts into compiled models.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

WORTHWHILE = 1 << 24
"""Multiplications from which on a product gains more than calling oneDNN costs (12 µs)."""


class Factor(Tensor):
    """A matrix of weights ``(outputs, inputs)``, laid out for oneDNN when it is first multiplied.

    It shows the memory it was made of, but products keep to the values that they began with.
    """

    _laid_out: Tensor | None = None

    @classmethod
    def of(cls, weight: Tensor) -> Tensor:
        """The matrix as a factor; tensors of other dimensions as they are."""
        return weight.detach().as_subclass(cls) if weight.ndim == 2 else weight

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """``F.linear`` by oneDNN; everything else, slices too, as with a plain tensor."""
        with torch._C.DisableTorchFunctionSubclass():
            made = _product(*args) if func is F.linear and not kwargs else NotImplemented
            return func(*args, **(kwargs or {})) if made is NotImplemented else made

    def laid_out(self, rows: int) -> Tensor:
        """The matrix as oneDNN wants it for about so many rows."""
        if self._laid_out is None:
            plain = self.as_subclass(Tensor).contiguous()
            self._laid_out = torch.ops.mkldnn._reorder_linear_weight(plain, rows)
        return self._laid_out


def linear_gelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``F.gelu(F.linear(x, weight, bias))``, in one pass where the weight is a factor."""
    with torch._C.DisableTorchFunctionSubclass():
        made = _product(x, weight, bias, "gelu")
    return F.gelu(F.linear(x, weight, bias)) if made is NotImplemented else made


def can_multiply(x: Tensor) -> bool:
    """Whether such inputs may be multiplied by oneDNN, now and here: float32 on a CPU, while
    nothing differentiates, casts or traces."""
    return (
        x.dtype is torch.float32
        and x.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch._C._get_tracing_state()
        and bool(torch.backends.mkldnn.enabled)
        and _is_there()
    )


@lru_cache(maxsize=1)
def _is_there() -> bool:
    """Whether this build has oneDNN's operators, on processors they were measured on."""
    names = ("_linear_pointwise", "_reorder_linear_weight")
    there = all(hasattr(torch.ops.mkldnn, name) for name in names)
    return there and platform.machine() in ("x86_64", "AMD64")


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None, behind: str = "none") -> Any:
    """``x · weightᵀ + bias`` and a function behind it, or ``NotImplemented``."""
    if not isinstance(weight, Factor) or x.numel() * len(weight) < WORTHWHILE:
        return NotImplemented
    return _multiply(x, weight.laid_out(x.numel() // x.shape[-1]), bias, behind)


def _multiply(x: Tensor, laid_out: Tensor, bias: Tensor | None, behind: str) -> Tensor:
    how = "none" if behind == "gelu" else ""  # its approximation: GELU by the error function
    made: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, laid_out, bias, behind, [], how)
    return made
