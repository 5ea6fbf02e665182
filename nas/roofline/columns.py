"""Gene matrices priced on a described device: columns (B,), tens of thousands a second.

The tables of `supernet.costs` hold, instead of features to learn from, what the roofline says of
each layer: seconds, launches, multiply-adds and bytes of a batch are sums over kernels, and so are
sums of table rows; SRAM is the largest of parts, as peak memory is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nas.roofline.energy import joules
from nas.roofline.kernels import price
from nas.roofline.schedule import KIB, embedding_bytes, section_bytes
from nas.roofline.setting import Setting
from nas.roofline.spec import BYTES
from search_spaces.automaton import IntArray
from search_spaces.space import SearchSpace
from search_spaces.walk import Trace
from search_spaces.workload import Count, Kernel, Sizes, peak_live
from supernet.costs import EMPTY, Costs, FloatArray, SpaceCosts
from supernet.prices import Priced

MB = 1e6
FEATURES = ("busy_s", "launches", "macs", "bytes")


@dataclass(frozen=True)
class DescribedCosts(Costs):
    """Costs of B candidates on a described device; features are of a whole batch.

    Attributes:
        setting: how they are run.
    """

    setting: Setting

    @property
    def latency_ms_B(self) -> FloatArray:
        """Estimated latency of one batch, ms."""
        return latency_ms(self.features_BF, self.setting)

    @property
    def energy_mj_B(self) -> FloatArray:
        """Estimated energy of one image, mJ."""
        _, _, macs_B, bytes_B = self.features_BF.T
        latency_s_B = self.latency_ms_B / 1e3
        energy_J: FloatArray = joules(macs_B, bytes_B, latency_s_B, self.setting)
        return energy_J / self.setting.batch * 1e3

    @property
    def columns(self) -> dict[str, FloatArray]:
        """Metrics that only such a device has, by name."""
        made = {"energy_mj": self.energy_mj_B}
        if self.setting.spec.kind == "mcu":
            sram_B = np.maximum(self.front_B2[:, 0], self.behind_B2[:, 0])
            made |= {"sram_kib": sram_B / KIB, "flash_kib": self.params_B / KIB}
        return made

    def peak_activation_mb(self, batch: int = 1) -> FloatArray:
        if self.setting.spec.kind == "mcu":
            return np.maximum(self.front_B2[:, 0], self.behind_B2[:, 0]) / MB
        return super().peak_activation_mb(batch) * (self._bytes / 4)

    def peak_memory_mb(self, batch: int = 1) -> FloatArray:
        if self.setting.spec.kind == "mcu":  # weights are read from flash
            return self.peak_activation_mb(batch)
        return self.params_B * (self._bytes / MB) + self.peak_activation_mb(batch)

    @property
    def _bytes(self) -> int:
        precision = self.setting.precision
        return 4 if precision == "amp" else BYTES[precision]


def latency_ms(features_BF: FloatArray, setting: Setting) -> FloatArray:
    """Latency of one batch from the features, ms."""
    busy_s_B, host_s_B = features_BF[:, 0], features_BF[:, 1] * setting.launch_s
    if setting.spec.asynchronous:
        return np.maximum(busy_s_B, host_s_B) * 1e3
    found: FloatArray = (busy_s_B + host_s_B) * 1e3
    return found


class DescribedSpaceCosts(SpaceCosts):
    """Prices candidates of one space on a described device.

    Args:
        space: the space.
        num_classes: outputs of the head.
        setting: device, precision, batch and how it is run.
    """

    def __init__(self, space: SearchSpace, num_classes: int, setting: Setting) -> None:
        super().__init__(space, num_classes)
        self.setting = setting

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        return FEATURES

    def of_legal(self, genes: IntArray, trace: Trace) -> DescribedCosts:
        """Costs of repaired genes with their trace."""
        plain = super().of_legal(genes, trace)
        fields = {name: getattr(plain, name) for name in plain.__dataclass_fields__}
        return DescribedCosts(**fields, setting=self.setting)

    def row(
        self,
        count: int,
        params: Count,
        kernels: Sequence[Kernel],
        sections: Mapping[str, Sequence[Kernel]] = EMPTY,
    ) -> tuple[FloatArray, FloatArray]:
        """Table rows ``(count, 2 + F)`` and peaks ``(count, 2)``, as in ``SpaceCosts``."""
        rows, peaks = np.zeros((count, 2 + len(FEATURES))), np.zeros((count, 2))
        rows[:, 0] = params
        for kernel in kernels:
            time = price(kernel, self.setting)
            rows[:, 1] += kernel.macs
            found: tuple[Any, ...] = (time.busy_s, time.launches, time.macs, time.bytes)
            for column, value in enumerate(found, start=2):
                rows[:, column] += value
        if self.setting.spec.kind == "mcu":
            peaks[:, 0] = section_bytes(kernels, self.setting.schedule)
        else:
            peaks[:, 0], peaks[:, 1] = peak_live(kernels)
        return rows, peaks

    def embedding_row(self, sizes: Sizes, params: Count, kernels: Sequence[Kernel]) -> Priced:
        rows, peaks = super().embedding_row(sizes, params, kernels)
        if self.setting.spec.kind == "mcu":
            peaks[:, 0] = embedding_bytes(kernels, sizes.grid_w, sizes.all_tokens)
        return rows, peaks
