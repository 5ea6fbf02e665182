"""The workload of any torch module that maps images to logits, from passes without numbers.

Networks of other libraries (timm's Swin, say) are no architectures of a space, but they can be
priced all the same. The passes run on torch's meta device: shapes are computed, values are not.
There are two, with two and with three images: what the third image adds is the work of one image,
the rest (tables of positions that are gathered, weights that are standardised) is done once a call.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nas.roofline.graph import Array, Op
from nas.roofline.lowering import lowered
from nas.roofline.traced import Traced, layers_of
from search_spaces.workload import Kernel, attention, conv, linear, product

FEW, MANY = 2, 3
"""Images of the two passes. One image alone would hide copies: axes of length 1 have any order."""

_VIEWS = {
    *("view", "_unsafe_view", "reshape", "_reshape_alias", "permute", "transpose", "t", "expand"),
    *("slice", "select", "unbind", "split", "split_with_sizes", "chunk", "unflatten", "unsqueeze"),
    *("squeeze", "detach", "alias", "as_strided", "empty", "empty_like", "empty_strided"),
    *("new_empty", "lift_fresh", "scalar_tensor", "unfold", "diagonal", "sym_size", "view_as_real"),
    *("view_as_complex", "movedim", "is_same_size", "_local_scalar_dense", "swapaxes", "narrow"),
}
_MADE = {"arange", "full", "zeros", "ones", "linspace", "zeros_like", "ones_like", "full_like"}
"""Made from nothing: written, not read."""
_LAST_NUMBER = re.compile(r"^(.*\.\d+)(?:\.|$)")


def trace(model: nn.Module, image_size: tuple[int, int] | None = None, channels: int = 3) -> Traced:
    """What a module does with one image.

    Args:
        model: maps images (B, C, H, W) to logits; a copy of it on the meta device is run.
        image_size: height and width, px; None: what the module says of itself, as timm's do
            (``default_cfg``), else 224.
        channels: of the images.

    Returns:
        Its kernels in order, grouped by block, with its parameters; ``live`` holds what each kernel
        reads and writes, so that a peak memory from it is a lower bound.
    """
    height, width = image_size or _usual_size(model)
    shadow = _shadow(model)
    with torch.no_grad():
        few, many = (_record(shadow, (b, channels, height, width)) for b in (FEW, MANY))
        if len(few) != len(many):  # the first pass made tables that the module keeps
            few = _record(shadow, (FEW, channels, height, width))
    graph = tuple(_op(*calls) for calls in zip(few, many, strict=True))
    params: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        part = _part(name.rpartition(".")[0]) or "network"
        params[part] = params.get(part, 0) + parameter.numel()
    layers = layers_of(lowered(graph, amp=False, compiled=False, kind="gpu"), params)
    return Traced(tuple(layers), channels * height * width, graph)


def _usual_size(model: nn.Module) -> tuple[int, int]:
    told = getattr(model, "default_cfg", None)
    size = told.get("input_size") if isinstance(told, Mapping) else None
    _, height, width = size or (3, 224, 224)
    return height, width


def _shadow(model: nn.Module) -> nn.Module:
    """A copy on the meta device, in eval mode, for which no weight is copied."""
    memo: dict[int, Any] = {}
    for module in model.modules():  # tensors that a module keeps beside its buffers are found too
        for tensor in tree_leaves(list(vars(module).values())):
            if isinstance(tensor, Tensor) and id(tensor) not in memo:
                memo[id(tensor)] = _empty(tensor)
    return copy.deepcopy(model, memo).to("meta").eval()


def _empty(tensor: Tensor) -> Tensor:
    """The same without numbers.

    Whether it learns stays as it is: torch folds what is multiplied with a weight that learns into
    one matrix, even where no gradients are asked for, and multiplies row by row otherwise.
    """
    made = torch.empty_like(tensor, device="meta", requires_grad=False)
    if not isinstance(tensor, nn.Parameter):
        return made
    return nn.Parameter(made, requires_grad=tensor.requires_grad)


def _part(path: str) -> str:
    """A module's path as far as its last number: ``blocks.3.attn.qkv`` is of ``blocks.3``."""
    found = _LAST_NUMBER.match(path)
    return found[1] if found else path.split(".")[0]


# -- two passes become one graph ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Call:
    """An operator's call in one of the passes."""

    name: str
    layer: str
    reads: tuple[Array, ...]
    writes: tuple[Array, ...]
    product: Kernel | None
    inplace: bool
    taps: int
    groups: int


def _op(few: _Call, many: _Call) -> Op:
    """The call for one image."""
    reads, writes = (
        tuple(_one(a, b) for a, b in zip(getattr(few, side), getattr(many, side), strict=True))
        for side in ("reads", "writes")
    )
    fixed = not any(array.each for array in (*reads, *writes))
    made = few.product
    if made is not None and many.product is not None and not fixed:
        fields = ("m", "n", "repeat", "macs", "moved", "weights")
        grown = {f: getattr(many.product, f) - getattr(made, f) for f in fields}
        # What does not grow is a size of the one product that all images share.
        made = replace(made, **{f: value or getattr(made, f) for f, value in grown.items()})
        if made.op == "matmul" and not grown["repeat"]:
            made = replace(made, op="linear")
    return Op(
        name=few.name,
        layer=few.layer,
        reads=reads,
        writes=writes,
        product=made,
        fixed=fixed,
        inplace=few.inplace,
        taps=few.taps,
        groups=few.groups,
    )


def _one(few: Array, many: Array) -> Array:
    each = (many.each - few.each) // (MANY - FEW)
    return replace(few, each=each, once=few.each - each * FEW)


# -- one pass ----------------------------------------------------------------------------------


def _record(shadow: nn.Module, shape: tuple[int, ...]) -> list[_Call]:
    recorder = _Recorder(shadow)
    images_BCHW = torch.empty(shape, device="meta")
    with recorder.named(shadow), _Whole(recorder), recorder:
        shadow(images_BCHW)
    return recorder.calls


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes each operator's call."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[_Call] = []
        self._stack = ["network"]
        self._kept: list[Tensor] = []  # storages are told apart by address while they live
        tensors = (*model.parameters(), *model.buffers())
        self._parameters = {_storage(tensor) for tensor in tensors}

    @contextmanager
    def named(self, model: nn.Module) -> Iterator[None]:
        """While inside, calls carry the name of the module that makes them."""
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

    def note(
        self, name: str, reads: Sequence[Any], out: Any, product: Kernel | None = None, **more: int
    ) -> None:
        """Append a call of the module that runs.

        Args:
            name: of the operator.
            reads: its arguments; tensors among them are read.
            out: what it made.
            product: the kernel where it is a product, for the batch.
            more: ``taps`` and ``groups``.
        """
        given = [leaf for leaf in tree_leaves(list(reads)) if isinstance(leaf, Tensor)]
        made = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        self._kept += given + made
        reads_, writes = (tuple(self._array(t) for t in tensors) for tensors in (given, made))
        inplace = bool(given) and bool(made) and writes[0].view == reads_[0].view
        plain = name.rstrip("_") if inplace else name
        self.calls.append(
            _Call(
                plain, self._stack[-1], reads_, writes, product, inplace,
                more.get("taps", 1), more.get("groups", 1),
            )
        )  # fmt: skip

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        made = any(isinstance(leaf, Tensor) for leaf in tree_leaves(out))
        if name in _VIEWS or not made:
            return out
        product = _product(name, args, out)
        self.note(name, (args, kwargs), out, product, **_sizes(name, args))
        return out

    def _array(self, tensor: Tensor) -> Array:
        shape, stride = tuple(tensor.shape), tensor.stride()
        distinct = prod(n for n, step in zip(shape, stride, strict=True) if step)
        axes = [axis for axis, n in enumerate(shape) if n > 1 and stride[axis]]
        buffer = _storage(tensor)
        return Array(
            buffer=buffer,
            view=hash((buffer, tensor.storage_offset(), shape, stride)),
            each=distinct,
            once=0,
            parameter=buffer in self._parameters,
            fastest=min(axes, key=lambda axis: stride[axis]) - len(shape) if axes else 0,
            contiguous=tensor.is_contiguous(),
            channels_last=tensor.dim() == 4
            and tensor.is_contiguous(memory_format=torch.channels_last),
            floating=tensor.is_floating_point(),
        )


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class _Whole(TorchFunctionMode):
    """Fused attention and LSTMs as calls of libraries; the meta device would take them apart."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is nn.functional.scaled_dot_product_attention:
            return self._attention(args, kwargs)
        if getattr(func, "__name__", "") == "lstm":
            return self._lstm(args)
        return func(*args, **kwargs)

    def _lstm(self, args: Any) -> Any:
        """Two products a layer and direction: of all inputs, and step by step of the states."""
        x, states, weights, *_, both, _ = args
        width = states[0].shape[-1] * (2 if both else 1)
        out = x.new_empty((*x.shape[:-1], width))
        for weight in (w for w in weights if w.dim() == 2):
            made = linear(x.numel() // x.shape[-1], weight.shape[1], weight.shape[0])
            self._recorder.note("addmm", [x, weight], out, made)
        self._recorder.note("sigmoid", [out], out)
        return out, *(torch.empty_like(state) for state in states)

    def _attention(self, args: Any, kwargs: Any) -> Any:
        given = dict(zip(("query", "key", "value", "attn_mask"), args, strict=False)) | kwargs
        query, key, value, mask = (given.get(n) for n in ("query", "key", "value", "attn_mask"))
        assert query is not None
        assert key is not None
        assert value is not None
        *groups, queries, width = query.shape
        made = attention(prod(groups), queries, key.shape[-2], width)
        macs = prod(groups) * queries * key.shape[-2] * (width + value.shape[-1])
        # Fused kernels leave heads side by side, so that joining them copies nothing.
        out = query.new_empty((*groups[:-1], queries, groups[-1], value.shape[-1])).transpose(
            -3, -2
        )
        reads = [tensor for tensor in (query, key, value, mask) if tensor is not None]
        self._recorder.note("attention", reads, out, replace(made, macs=macs))
        return out


def _product(name: str, args: Any, out: Any) -> Kernel | None:
    """The kernel of a product, for the batch; None where it is none."""
    if name in ("addmm", "mm"):
        x, weight = (args[1], args[2]) if name == "addmm" else (args[0], args[1])
        return linear(x.shape[0], x.shape[1], weight.shape[1])
    if name in ("bmm", "baddbmm"):
        a, b = args[-2:] if name == "bmm" else args[1:3]
        return product(a.shape[1], b.shape[2], a.shape[2], repeat=a.shape[0])
    if name == "convolution":
        x, weight, turned = args[0], args[1], args[6]
        taps = prod(weight.shape[2:])
        pixels = (x if turned else out).shape[0] * prod((x if turned else out).shape[2:])
        outputs, inputs = (weight.shape[1], weight.shape[0]) if turned else weight.shape[:2]
        return conv(pixels, taps, outputs, inputs, read=x.numel())
    return None


def _sizes(name: str, args: Any) -> dict[str, int]:
    """Taps and groups, where there are any."""
    if name == "convolution":
        return {"taps": prod(args[1].shape[2:]), "groups": args[8]}
    if name in ("avg_pool2d", "max_pool2d_with_indices"):
        size = args[1]
        return {"taps": prod(size) if len(size) > 1 else size[0] ** 2}
    return {}
