"""Peak memory of quantised models in ONNX Runtime, in closed form.

Products with weights are quantised, nothing else (`nas.export.quantise`). What is alive stays that
of fp32: at its peak a pass holds maps of attention or the MLP's hidden activations, both in fp32,
and a product's int8 copy of its input lives only where less is alive. Weights take a quarter: a
byte each, and for each output channel a scale and a zero point. Where ranges were learned once
(``int8_static``) some tensors stay quantised between two layers; there too less is alive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search_spaces.automaton import IntArray
from search_spaces.space import SearchSpace
from search_spaces.walk import Trace
from search_spaces.workload import Count, Kernel
from supernet.costs import EMPTY, Costs, FloatArray, Liveness, SpaceCosts
from supernet.workload import BYTES_FP32, MB

CHANNEL_BYTES = 5  # of an output channel: scale and zero point


@dataclass(frozen=True, slots=True)
class Int8Liveness(Liveness):
    """What int8 models hold alive; their weights take less than a number of activations."""

    def costs(self, space: SearchSpace, num_classes: int) -> SpaceCosts:
        """See ``Liveness.costs``."""
        return Int8SpaceCosts(space, num_classes, self)


@dataclass(frozen=True)
class Int8Costs(Costs):
    """Costs of B candidates whose weights are quantised.

    Attributes:
        weights_B: (B,) bytes of the stored weights.
    """

    weights_B: FloatArray

    def peak_memory_mb(self, batch: int = 1) -> FloatArray:
        return self.weights_B / MB + self.peak_activation_mb(batch)


class Int8SpaceCosts(SpaceCosts):
    """Prices candidates of one space as int8 models; arguments as of ``SpaceCosts``."""

    def __init__(self, space: SearchSpace, num_classes: int, liveness: Liveness) -> None:
        super().__init__(space, num_classes, liveness)
        self._stored = StoredWeights(space, num_classes, liveness)

    def of_legal(self, genes: IntArray, trace: Trace) -> Int8Costs:
        """Costs of repaired genes with their trace."""
        plain = super().of_legal(genes, trace)
        fields = {name: getattr(plain, name) for name in plain.__dataclass_fields__}
        return Int8Costs(**fields, weights_B=self._stored.of_legal(genes, trace).params_B)


class StoredWeights(SpaceCosts):
    """Bytes of stored weights in the place of parameters, and nothing else."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        return ("nothing",)

    def row(
        self,
        count: int,
        params: Count,
        kernels: Sequence[Kernel],
        sections: Mapping[str, Sequence[Kernel]] = EMPTY,
    ) -> tuple[FloatArray, FloatArray]:
        rows, peaks = np.zeros((count, 2 + len(self.feature_names))), np.zeros((count, 2))
        rows[:, 0] = stored_bytes(params, kernels)
        return rows, peaks


def stored_bytes(params: Count, kernels: Sequence[Kernel]) -> Count:
    """Bytes of a part's weights: those of its linear layers quantised, all others in fp32."""
    total = BYTES_FP32 * params
    for kernel in kernels:
        if kernel.op == "linear":
            runs = (kernel.weights > 0) * 1
            total = total - (BYTES_FP32 - 1) * runs * kernel.k * kernel.n
            total = total + CHANNEL_BYTES * runs * kernel.n
    return total
