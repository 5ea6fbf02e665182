"""From operators to the kernels that run: what eager torch launches, and what TorchInductor fuses.

Eager, every operator is a kernel, and some are several: operators that want their input in order
copy it first, a convolution's bias is added behind it, and matrix units want channels last.
Compiled, see `nas.roofline.fusing`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from nas.roofline.casting import autocast
from nas.roofline.fusing import Group, functional, fused
from nas.roofline.graph import Array, Graph, Op
from search_spaces.workload import Count, Kernel

HEAVY = {
    **dict.fromkeys(("gelu", "erf"), "gelu"),
    **dict.fromkeys(("silu", "sigmoid", "tanh", "exp", "mish", "softplus", "log"), "exponential"),
    **dict.fromkeys(("_softmax", "_log_softmax"), "softmax"),
    **dict.fromkeys(("native_layer_norm", "native_group_norm", "_fused_rms_norm"), "norm"),
}
"""Operators whose arithmetic counts, by the name under which it is priced."""
NAMES = {
    **HEAVY,
    **dict.fromkeys(("mean", "sum", "amax", "max", "var_mean", "var"), "reduce"),
    **dict.fromkeys(("clone", "copy", "roll", "_to_copy", "constant_pad_nd", "repeat"), "copy"),
    "cat": "concat",
    **dict.fromkeys(("index", "gather", "embedding", "index_select"), "gather"),
    **dict.fromkeys(("avg_pool2d", "max_pool2d_with_indices", "_adaptive_avg_pool2d"), "pool"),
}
PLACE = ("softmax", "norm", "reduce", "gelu", "exponential")
"""After which of its operators a fused kernel is called."""
EITHER = {"convolution", "native_batch_norm"}
"""Operators for which channels may come last."""
ORDERED = {"native_layer_norm", "native_group_norm", "_softmax", *EITHER}
"""Operators that copy what does not lie in order."""
DEEP = 8
"""Inputs to an output from which a grouped convolution is computed as a product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowered(Kernel):
    """A kernel as it runs. ``moved`` and ``weights`` are in elements of the precision, exactly.

    Attributes:
        fixed: it does the same work whatever the batch.
        strided: of ``moved``, what is read across the order in which it lies.
        work: elements by the kind of arithmetic that is done on them (see ``HEAVY``).
        launches: kernels it consists of.
    """

    fixed: bool = False
    strided: Count = 0
    work: tuple[tuple[str, Count], ...] = ()
    launches: int = 1


def lowered(
    graph: Graph, amp: bool, compiled: bool, kind: str, turned: bool = False
) -> list[tuple[str, Kernel]]:
    """The kernels of a graph, in order, with the layers they belong to.

    Args:
        graph: in one precision.
        amp: whether torch.amp chooses the precision of each operator.
        compiled: whether neighbours are fused.
        kind: gpu, cpu or mcu.
        turned: whether convolutions want channels last.
    """
    if kind == "gpu":
        graph = _biases_apart(graph)
    if compiled:
        graph = tuple(functional(graph))
    half: frozenset[int] = frozenset()
    if amp:
        graph, half = autocast(graph, once=compiled)
    sizes = _Sizes(half, amp)
    if compiled:
        return [(group.layer, _group(group, sizes)) for group in fused(graph)]
    found = []
    for op in graph:
        found += [(op.layer, kernel) for kernel in _eager(op, sizes, turned)]
    return found


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Elements in units of the precision of products: in ``amp`` one of fp32 counts twice."""

    half: frozenset[int]
    amp: bool

    def of(self, array: Array) -> int:
        return 2 if self.amp and array.buffer not in self.half else 1

    def moved(self, arrays: Iterable[Array]) -> tuple[int, int]:
        """(for an image, whatever the batch)."""
        each = once = 0
        for array in arrays:
            each += array.each * self.of(array)
            once += array.once * self.of(array)
        return each, once


def _biases_apart(graph: Graph) -> Graph:
    """cuDNN's convolutions add no bias: torch adds it behind them."""
    found = []
    for op in graph:
        found.append(op)
        if op.name == "convolution" and len(op.reads) == 3:
            *reads, bias = op.reads
            found[-1] = replace(op, reads=tuple(reads))
            out = op.writes[0]
            found.append(
                Op(
                    name="add",
                    layer=op.layer,
                    reads=(out, bias),
                    writes=(out,),
                    inplace=True,
                    fixed=op.fixed,
                )
            )
    return tuple(found)


# -- eager -------------------------------------------------------------------------------------


def _eager(op: Op, sizes: _Sizes, turned: bool) -> list[Kernel]:
    each, once = sizes.moved(_touched(op))
    found: list[Kernel] = [*_copies(op, sizes)]
    if op.product is not None or op.name == "attention":
        found.append(_product(op, each, once))
        return found + (_reordered(op, sizes) if turned else [])
    name = NAMES.get(op.name, op.name)
    if op.name == "native_group_norm":  # once for the moments, once for the result
        each += sizes.moved(op.reads[:1])[0]
    found.append(
        Lowered(
            op=name,
            moved=each,
            weights=once,
            live=each,
            fixed=op.fixed,
            strided=sum(sizes.moved([a])[0] for a in _crossed(op)),
            work=(_work(op),),
            launches=3 if op.name == "native_group_norm" else 1,
        )
    )
    return found


def _touched(op: Op) -> list[Array]:
    """What is read and written: of a table, no more than what is made of it."""
    made = max((a.each + a.once for a in op.writes), default=0)
    reads = []
    for array in op.reads:
        few = array.elements > made and NAMES.get(op.name) == "gather"
        reads.append(op.writes[0] if few else array)
    return [*reads, *op.writes[:1]]


def _work(op: Op) -> tuple[str, int]:
    """The kind of arithmetic, and how many elements it is done on; poolings do it tap by tap."""
    if NAMES.get(op.name) == "pool" and op.taps > 1:
        return "pool", op.taps * (op.writes[0].each or op.writes[0].once)
    return HEAVY.get(op.name, "plain"), _domain(op)


def _domain(op: Op) -> int:
    """Elements it is computed for."""
    return max(array.each or array.once for array in (*op.reads, *op.writes))


def _crossed(op: Op) -> list[Array]:
    """What is read across its order: its neighbours are no neighbours of what is written."""
    if not op.writes:
        return []
    out = op.writes[0]
    big = [a for a in op.reads if a.elements * 2 > out.elements and a.fastest and out.fastest]
    return [array for array in big if array.fastest != out.fastest]


def _copies(op: Op, sizes: _Sizes) -> list[Kernel]:
    """Copies that an operator makes of inputs that do not lie in order."""
    if op.name not in ORDERED or not op.reads:
        return []
    first = op.reads[0]
    if first.contiguous or (first.channels_last and op.name in EITHER):
        return []
    each, once = sizes.moved([first])
    return [
        Lowered(
            op="copy",
            moved=2 * each,
            weights=2 * once,
            live=2 * each,
            fixed=op.fixed,
            strided=each,
            work=(("plain", first.each or first.once),),
        )
    ]


def _reordered(op: Op, sizes: _Sizes) -> list[Kernel]:
    """Matrix units take channels last: cuDNN turns what lies otherwise, before and behind."""
    first = op.reads[0]
    if op.name != "convolution" or first.channels_last or op.groups > 1:
        return []
    each, _ = sizes.moved([first, *op.writes[:1]])
    return [Lowered(op="reorder", moved=2 * each, live=2 * each, fixed=op.fixed, launches=2)]


def _product(op: Op, each: int, once: int) -> Kernel:
    made = op.product
    assert made is not None
    n, repeat = made.n, made.repeat
    name = made.op
    if op.groups > 1:
        inputs = made.k // op.taps
        if inputs < DEEP:
            name = "depthwise"
        else:
            n, repeat = made.n // op.groups, op.groups
    return Lowered(
        op=name,
        m=made.m,
        n=n,
        k=made.k,
        repeat=repeat,
        macs=made.macs,
        moved=each,
        weights=once,
        live=each,
        fixed=op.fixed,
    )


# -- compiled ----------------------------------------------------------------------------------


def _group(group: Group, sizes: _Sizes) -> Kernel:
    first = group.ops[0]
    if group.extern:
        each, once = sizes.moved(_touched(first))
        if first.product is not None or first.name == "attention":
            return _product(first, each, once)
        name = NAMES.get(first.name, first.name)
        return Lowered(op=name, moved=each, weights=once, live=each, fixed=first.fixed)
    each, once = sizes.moved([*group.reads, *group.writes])
    work: dict[str, int] = {}
    for op in group.ops:
        name, elements = _work(op)
        work[name] = work.get(name, 0) + elements
    names = [NAMES.get(op.name, op.name) for op in group.ops]
    return Lowered(
        op=min(names, key=lambda name: PLACE.index(name) if name in PLACE else len(PLACE)),
        moved=each,
        weights=once,
        live=each,
        fixed=all(op.fixed for op in group.ops),
        work=tuple(work.items()),
    )
