"""The workload of a traced module, which depends on how it is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from nas.roofline.graph import Graph
from nas.roofline.lowering import lowered
from search_spaces.workload import Kernel
from supernet.workload import LayerWork, Workload


@dataclass(frozen=True, slots=True)
class Traced(Workload):
    """The workload of a traced module; ``layers`` hold its operators one by one.

    Attributes:
        graph: the operators with what they read and write.
    """

    graph: Graph = ()

    def under(self, amp: bool, compiled: bool, kind: str, turned: bool = False) -> Workload:
        """The kernels that run; see ``nas.roofline.lowering.lowered``."""
        kernels = lowered(self.graph, amp, compiled, kind, turned)
        return Workload(tuple(layers_of(kernels, {})), self.input_elements)


def layers_of(kernels: Sequence[tuple[str, Kernel]], params: dict[str, int]) -> list[LayerWork]:
    """Kernels by layer, with the parameters of each; the last has those of parts without one."""
    layers = []
    for name, group in groupby(kernels, key=lambda pair: pair[0]):
        work = tuple(kernel for _, kernel in group)
        layers.append(LayerWork(name, "", 0, 0, None, params.pop(name, 0), work))
    if params:  # of parts whose kernels carry another part's name
        layers[-1] = replace(layers[-1], params=layers[-1].params + sum(params.values()))
    return layers
