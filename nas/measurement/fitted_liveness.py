"""Peak memory of a runtime as fitted to measurements: data that makes costs of a whole space.

    memory = offset + weights + inputs + max over sites (share × what is alive there)

Nothing is learned here: ``memory_fit`` finds the numbers. A table prices each combination of a
layer's choices by the same maximum, so a batch of candidates costs what it costs in closed form.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from nas.measurement.onnx_int8 import StoredWeights
from nas.measurement.sites import site_elements
from search_spaces.automaton import IntArray
from search_spaces.space import SearchSpace
from search_spaces.walk import Trace
from search_spaces.workload import Count, Kernel
from supernet.costs import Costs, FloatArray, Liveness, SpaceCosts
from supernet.workload import BYTES_FP32, MB

FP32, INT8 = "fp32", "int8"
STORED = (FP32, INT8)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryForm:
    """The numbers of one runtime, precision and batch.

    Attributes:
        batch: images of a pass.
        offset_mb: what every network needs, 10^6 bytes.
        weights: how they are stored: all in ``fp32``, or those of linear layers in ``int8``.
        weights_share: of the bytes that this takes.
        inputs_share: of the images in fp32.
        sites: share of what is alive at each site, by its name.
    """

    batch: int
    offset_mb: float
    weights: str
    weights_share: float
    inputs_share: float
    sites: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"sites": dict(self.sites)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MemoryForm:
        """The inverse of ``to_dict``.

        Raises:
            ValueError: names what is missing or not allowed.
        """
        names = ("offset_mb", "weights_share", "inputs_share")
        try:
            numbers = {name: float(data[name]) for name in names}
            sites = {str(name): float(share) for name, share in data["sites"].items()}
            batch, weights = int(data["batch"]), data["weights"]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"a field is missing or no number: {error}") from None
        if weights not in STORED or batch < 1:
            raise ValueError(f"weights are {weights!r} and batch is {batch}")
        if not all(0 <= value < np.inf for value in [*numbers.values(), *sites.values()]):
            raise ValueError("a number is negative or not finite")
        return cls(batch=batch, weights=weights, sites=sites, **numbers)

    def peaks(self, kernels: Sequence[Kernel]) -> tuple[Count, Count]:
        """As of ``Liveness``; exact at the form's own batch."""
        most: Count = 0
        for name, elements in site_elements(kernels, self.batch):
            most = np.maximum(most, self.sites.get(name, 0.0) * elements)
        return most / self.batch, most / self.batch


@dataclass(frozen=True, slots=True)
class FittedLiveness(Liveness):
    """What a runtime holds alive, as fitted to its own measurements.

    Attributes:
        form: the numbers.
    """

    form: MemoryForm | None = None

    @classmethod
    def of(cls, runtime: str, form: MemoryForm) -> FittedLiveness:
        """The form of a runtime."""
        return cls(runtime, form.peaks, form=form)

    @property
    def identity(self) -> str:
        """See ``Liveness.identity``: another fit is another question."""
        assert self.form is not None
        text = json.dumps(self.form.to_dict(), sort_keys=True)
        return f"{self.runtime} fitted {hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def costs(self, space: SearchSpace, num_classes: int) -> SpaceCosts:
        """See ``Liveness.costs``."""
        assert self.form is not None
        return FittedSpaceCosts(space, num_classes, self, self.form)


@dataclass(frozen=True)
class FittedCosts(Costs):
    """Costs of B candidates whose peak memory is a fitted form's.

    Attributes:
        form: the numbers.
        weights_mb_B: (B,) of the stored weights.
    """

    form: MemoryForm
    weights_mb_B: FloatArray

    def peak_activation_mb(self, batch: int = 1) -> FloatArray:
        unlike = (self.form.inputs_share - 1) * batch * self.input_elements
        return super().peak_activation_mb(batch) + unlike * self.element_bytes / MB

    def peak_memory_mb(self, batch: int = 1) -> FloatArray:
        return self.form.offset_mb + self.weights_mb_B + self.peak_activation_mb(batch)


class FittedSpaceCosts(SpaceCosts):
    """Prices candidates of one space by a fitted form; other arguments as of ``SpaceCosts``."""

    def __init__(
        self, space: SearchSpace, num_classes: int, liveness: Liveness, form: MemoryForm
    ) -> None:
        super().__init__(space, num_classes, liveness)
        self._form = form
        stored = partial(StoredWeights, space, num_classes, liveness)
        self._stored = stored() if form.weights == INT8 else None

    def of_legal(self, genes: IntArray, trace: Trace) -> FittedCosts:
        """Costs of repaired genes with their trace."""
        plain, stored = super().of_legal(genes, trace), self._stored
        bytes_B = BYTES_FP32 * plain.params_B
        if stored is not None:
            bytes_B = stored.of_legal(genes, trace).params_B
        fields = {name: getattr(plain, name) for name in plain.__dataclass_fields__}
        weights_mb_B = self._form.weights_share * bytes_B / MB
        return FittedCosts(**fields, form=self._form, weights_mb_B=weights_mb_B)
