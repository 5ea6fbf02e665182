"""What TorchInductor makes of a graph: loops over the same elements become one kernel.

Its scheduler fuses point-wise work, copies and reductions over the same elements; products,
convolutions and fused attention are calls of libraries that it cannot look into (Ansel et al.,
"PyTorch 2", ASPLOS 2024, section 4.4). What only a kernel itself uses is never written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from nas.roofline.graph import Array, Graph, Op

EXTERN = {"sort", "topk", "attention", "lstm", "_cdist_forward"}
REDUCTIONS = {
    *("native_layer_norm", "native_group_norm", "_fused_rms_norm", "_softmax", "_log_softmax"),
    *("mean", "sum", "amax", "max", "var_mean", "var", "linalg_vector_norm", "argmax"),
    "_adaptive_avg_pool2d",
}


@dataclass(slots=True)
class Group:
    """Operators that run as one kernel.

    Attributes:
        ops: them, in order.
        extern: whether it is a call of a library.
        domain: elements the loop runs over.
        reduced: elements behind a reduction; 0 without one.
        reads, writes: arrays of others that it reads, its own that others need.
    """

    ops: list[Op]
    extern: bool
    domain: int
    reduced: int = 0
    reads: list[Array] = field(default_factory=list)
    writes: list[Array] = field(default_factory=list)

    @property
    def layer(self) -> str:
        """The part of the network it belongs to."""
        return self.ops[-1].layer

    def takes(self, op: Op) -> bool:
        """Whether the loop can do this operator too."""
        size = domain(op)
        if self.extern or _extern(op):
            return False
        if size in (self.domain, self.reduced):
            return True
        return not self.reduced and size > self.domain and op.name not in REDUCTIONS

    def add(self, op: Op) -> None:
        """Do this operator too."""
        self.ops.append(op)
        self.domain = max(self.domain, domain(op))
        if op.name in REDUCTIONS:
            self.reduced = _elements(op.writes[0])


def fused(graph: Graph) -> list[Group]:
    """The kernels of a functional graph, in order."""
    groups: list[Group] = []
    made_by: dict[int, int] = {}
    for op in graph:
        makers = [made_by[a.buffer] for a in op.reads if a.buffer in made_by]
        place = max(makers, default=-1)
        if place >= 0 and groups[place].takes(op):
            groups[place].add(op)
        else:
            place = len(groups)
            group = Group([], _extern(op), 0)
            group.add(op)
            groups.append(group)
        for array in op.writes:
            made_by[array.buffer] = place
    _connect(groups, made_by)
    return groups


def domain(op: Op) -> int:
    """Elements an operator runs over."""
    return max(_elements(array) for array in (*op.reads, *op.writes))


def _elements(array: Array) -> int:
    return array.each or array.once


def _extern(op: Op) -> bool:
    return op.product is not None or op.name in EXTERN


def functional(graph: Graph) -> Iterator[Op]:
    """The graph with an array of its own for whatever is written in place."""
    now: dict[int, int] = {}
    fresh = max((a.buffer for op in graph for a in op.writes), default=0) + 1

    def renamed(arrays: Iterable[Array]) -> tuple[Array, ...]:
        return tuple(replace(a, buffer=now.get(a.buffer, a.buffer)) for a in arrays)

    for op in graph:
        reads = renamed(op.reads)
        if op.inplace:
            for array in op.writes:
                now[array.buffer] = fresh
                fresh += 1
        yield replace(op, reads=reads, writes=renamed(op.writes))


def _connect(groups: list[Group], made_by: dict[int, int]) -> None:
    """Note what goes from one kernel to another through memory."""
    wanted: set[int] = set()
    for place, group in enumerate(groups):
        seen: dict[int, dict[int, Array]] = {}
        for op in group.ops:
            for array in op.reads:
                if made_by.get(array.buffer) != place:
                    seen.setdefault(array.buffer, {})[array.view] = array
        group.reads = [array for views in seen.values() for array in views.values()]
        wanted |= set(seen)
    for place, group in enumerate(groups):
        made = {a.buffer: a for op in group.ops for a in op.writes[:1]}
        last = place == len(groups) - 1
        group.writes = [a for buffer, a in made.items() if last or buffer in wanted]
