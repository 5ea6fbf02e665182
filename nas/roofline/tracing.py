"""The workload of any torch module that maps images to logits, from one pass without numbers.

Networks of other libraries (timm's Swin, say) are no architectures of a space, but they can be
priced all the same. The pass runs on torch's meta device: shapes are computed, values are not.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from search_spaces.workload import Kernel, attention, conv, elementwise, linear, product
from supernet.workload import LayerWork, Workload

_VIEWS = {
    *("view", "_unsafe_view", "reshape", "_reshape_alias", "permute", "transpose", "t", "expand"),
    *("slice", "select", "unbind", "split", "split_with_sizes", "chunk", "unflatten", "unsqueeze"),
    *("squeeze", "detach", "alias", "as_strided", "empty", "empty_like", "empty_strided"),
    *("new_empty", "lift_fresh", "arange", "full", "zeros", "ones", "scalar_tensor"),
}
_NAMES = {
    "native_layer_norm": "norm",
    "native_group_norm": "norm",
    "_softmax": "softmax",
    "mean": "reduce",
    "sum": "reduce",
}
_LAST_NUMBER = re.compile(r"^(.*\.\d+)(?:\.|$)")


def trace(
    model: nn.Module, image_size: tuple[int, int] = (224, 224), channels: int = 3
) -> Workload:
    """What a module does with one image.

    Args:
        model: maps images (B, C, H, W) to logits; it is copied to the meta device, not run.
        image_size: height and width, px.
        channels: of the images.

    Returns:
        Its kernels in order, grouped by block, with its parameters; ``live`` holds what each kernel
        reads and writes, so that a peak memory from it is a lower bound.
    """
    shadow = copy.deepcopy(model).to("meta").eval()
    images_BCHW = torch.empty(1, channels, *image_size, device="meta")
    recorder = _Recorder()
    with recorder.named(shadow), torch.no_grad(), _Attention(recorder), recorder:
        shadow(images_BCHW)
    params: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        part = _part(name.rpartition(".")[0]) or "network"
        params[part] = params.get(part, 0) + parameter.numel()
    layers = []
    for name, group in groupby(recorder.kernels, key=lambda pair: pair[0]):
        kernels = tuple(kernel for _, kernel in group)
        layers.append(LayerWork(name, "", 0, 0, None, params.pop(name, 0), kernels))
    if params:  # of parts whose kernels carry another part's name
        layers[-1] = replace(layers[-1], params=layers[-1].params + sum(params.values()))
    return Workload(tuple(layers), images_BCHW.numel())


def _part(path: str) -> str:
    """A module's path as far as its last number: ``blocks.3.attn.qkv`` is of ``blocks.3``."""
    found = _LAST_NUMBER.match(path)
    return found[1] if found else path.split(".")[0]


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes each operator as a kernel."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernels: list[tuple[str, Kernel]] = []
        self._stack = ["network"]

    @contextmanager
    def named(self, model: nn.Module) -> Iterator[None]:
        """While inside, kernels carry the name of the module that runs them."""
        hooks = []
        for path, module in model.named_modules():
            name = _part(path) or "network"

            def enter(module: nn.Module, args: Any, name: str = name) -> None:
                self._stack.append(name)

            def leave(module: nn.Module, args: Any, out: Any) -> None:
                self._stack.pop()

            hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def note(self, kernel: Kernel) -> None:
        """Append a kernel of the module that runs."""
        self.kernels.append((self._stack[-1], kernel))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        kernel = _kernel(func.overloadpacket.__name__, args, out)
        if kernel is not None:
            self.note(kernel)
        return out


class _Attention(TorchFunctionMode):
    """Fused attention as one kernel; on the meta device torch would take it apart."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not nn.functional.scaled_dot_product_attention:
            return func(*args, **kwargs)
        given = dict(zip(("query", "key", "value", "attn_mask"), args, strict=False)) | kwargs
        query, key, value, mask = (given.get(n) for n in ("query", "key", "value", "attn_mask"))
        assert query is not None
        assert key is not None
        assert value is not None
        *groups, queries, width = query.shape
        kernel = attention(prod(groups), queries, key.shape[-2], width)
        extra = 0 if mask is None else mask.numel()
        self._recorder.note(replace(kernel, moved=kernel.moved + extra))
        # Fused kernels leave heads side by side, so that joining them copies nothing.
        *outer, heads = groups
        return query.new_empty((*outer, queries, heads, value.shape[-1])).transpose(-3, -2)


def _kernel(name: str, args: Any, out: Any) -> Kernel | None:
    name = name.rstrip("_") if name not in ("_softmax",) else name
    if name in _VIEWS or not isinstance(out, Tensor | tuple):
        return None
    tensors = [leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
    if name in ("addmm", "mm"):
        x, weight = (args[1], args[2]) if name == "addmm" else (args[0], args[1])
        made = linear(x.shape[0], x.shape[1], weight.shape[1])
    elif name in ("bmm", "baddbmm"):
        a, b = args[-2:] if name == "bmm" else args[1:3]
        made = product(a.shape[1], b.shape[2], a.shape[2], repeat=a.shape[0])
    elif name == "convolution":
        x, weight = args[0], args[1]
        pixels, taps = prod(out.shape[2:]), prod(weight.shape[2:])  # type: ignore[union-attr]
        made = conv(pixels, taps, weight.shape[0], weight.shape[1], read=x.numel())
    else:
        result = out if isinstance(out, Tensor) else out[0]
        weights = sum(t.numel() for t in tensors if isinstance(t, nn.Parameter))
        read = sum(min(t.numel(), result.numel()) for t in tensors) - weights
        made = elementwise(_NAMES.get(name, name), max(read, 0) + result.numel(), weights=weights)
    return replace(made, live=made.moved)
