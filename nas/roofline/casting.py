"""What torch.amp does to a graph: products in half precision, some operators in fp32, and casts.

The lists are those of torch's documentation ("Automatic Mixed Precision package, CUDA op-specific
behavior"). Everything else runs in the widest type of its inputs, so that a product with a
parameter (LayerScale) or a sum with the residual stream is of fp32.
"""

from __future__ import annotations

from dataclasses import replace

from nas.roofline.graph import Array, Graph, Op

FP32 = {
    *("native_layer_norm", "native_group_norm", "_fused_rms_norm", "pow", "exp", "log", "rsqrt"),
    *("reciprocal", "softplus", "linalg_vector_norm", "cumsum", "prod", "_cdist_forward"),
    *("upsample_bilinear2d", "upsample_bicubic2d", "upsample_nearest2d", "grid_sampler_2d"),
}
"""Computed in fp32; what is half is cast before."""
WIDENING = {"_softmax", "_log_softmax", "sum"}
"""Their kernels read half precision and write fp32."""


def autocast(graph: Graph, once: bool) -> tuple[Graph, frozenset[int]]:
    """The graph with its casts.

    Args:
        graph: in one precision.
        once: a tensor that is cast twice is cast once, as compilers do; no operator may write in
            place then (see ``fusing.functional``).

    Returns:
        The graph, and the buffers that are of half precision.
    """
    caster = _Caster(once)
    for op in graph:
        caster.take(op)
    return tuple(caster.ops), frozenset(caster.half)


class _Caster:
    def __init__(self, once: bool) -> None:
        self.ops: list[Op] = []
        self.half: set[int] = set()
        self._once = once
        self._cast: dict[tuple[int, int], Array] = {}
        self._next = -1

    def take(self, op: Op) -> None:
        """Append an operator behind the casts that it needs."""
        wanted = True if op.product is not None or op.name == "attention" else None
        if op.name in FP32:
            wanted = False
        reads = op.reads
        if wanted is not None:
            reads = tuple(self._as(array, wanted, op) for array in reads)
        half = wanted if wanted is not None else self._widest(op)
        if op.inplace:  # what is written keeps its type
            half = op.reads[0].buffer in self.half
        self.half |= {array.buffer for array in op.writes if half and array.floating}
        self.ops.append(replace(op, reads=reads))

    def _widest(self, op: Op) -> bool:
        if op.name in WIDENING:
            return False
        many = [a for a in op.reads if a.floating and a.elements > 1]
        return bool(many) and all(array.buffer in self.half for array in many)

    def _as(self, array: Array, half: bool, op: Op) -> Array:
        """The array in the wanted precision."""
        if not array.floating or (array.buffer in self.half) == half:
            return array
        key = (array.buffer, array.view)
        if self._once and key in self._cast:
            return self._cast[key]
        made = replace(array, buffer=self._next, view=self._next, parameter=False)
        self._next -= 1
        if half:
            self.half.add(made.buffer)
        fixed = not array.each
        self.ops.append(
            Op(name="cast", layer=op.layer, reads=(array,), writes=(made,), fixed=fixed)
        )
        self._cast[key] = made
        return made
