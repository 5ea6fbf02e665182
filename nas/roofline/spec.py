"""What a spec sheet says of a device, and how the device likes its work cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["gpu", "cpu", "mcu"]

BYTES = {"fp32": 4, "tf32": 4, "amp": 2, "fp16": 2, "bf16": 2, "int8": 1}
"""Bytes of one activation; with ``amp`` those of a matrix product, see ``traffic``."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A block of a product that one unit computes at a time.

    Attributes:
        rows, columns: of the result.
        share: of the unit's peak that its inner loop reaches. Small blocks load more a multiply.
    """

    rows: int
    columns: int
    share: float


GPU_TILES = (
    *(Tile(128, 256, 1.0), Tile(128, 128, 0.95), Tile(128, 64, 0.8), Tile(64, 64, 0.65)),
    *(Tile(64, 32, 0.45), Tile(32, 64, 0.45)),
)
SIMT_TILES = (Tile(128, 128, 1.0), Tile(64, 64, 0.95), Tile(32, 32, 0.75))
"""Of a GPU without its matrix units, which do not mind small blocks."""
CPU_TILES = (Tile(16, 32, 1.0), Tile(8, 16, 0.85))
"""Of registers: blocks for caches may be cut anywhere between them (Van Zee and van de Geijn, BLIS,
ACM TOMS 41:3, 2015)."""
MCU_TILES = (Tile(2, 2, 1.0),)  # CMSIS-NN's inner loop: two rows by two columns
TILES: dict[Kind, tuple[Tile, ...]] = {"gpu": GPU_TILES, "cpu": CPU_TILES, "mcu": MCU_TILES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A device in figures. 1 GB = 10^9 bytes, 1 MB = 10^6 bytes.

    Attributes:
        kind: gpu, cpu or mcu.
        model: the device as its maker calls it.
        source: where the figures are from.
        tflops: dense peak of matrix products by precision, 10^12 operations a second (a
            multiply-add is two), sums kept in fp32 (int32 for int8).
        vector_tflops: peak outside matrix units, fp32.
        sustained: share of the peak that large products reach, on matrix units where there are any.
        sustained_fp32: likewise in fp32 on a GPU, whose matrix units cannot do that.
        attention: share of the peak that fused attention reaches, its softmax included.
        units: multiprocessors of a GPU, cores else.
        fastest: peak of the fastest core alone, at its highest clock, over the mean of all.
        bandwidth_gb_s: of the main memory.
        cache_mb: last-level cache that activations may stay in between two kernels.
        cache_gb_s: its bandwidth.
        memory_mb: main memory; SRAM of a microcontroller.
        flash_mb: where weights live, on a microcontroller; 0 where they are in main memory.
        eager_us, compiled_us: host time until one more kernel runs, microseconds.
        power_w: of the board or package at full load.
        static_w: what it draws whatever it does.
        pj_per_byte: energy of one byte to or from the main memory, 10^-12 J.
    """

    kind: Kind
    model: str
    source: str
    tflops: Mapping[str, float]
    vector_tflops: float
    units: int
    bandwidth_gb_s: float
    cache_mb: float
    cache_gb_s: float
    memory_mb: float
    power_w: float
    static_w: float
    pj_per_byte: float
    eager_us: float
    compiled_us: float
    sustained: float = 0.8
    sustained_fp32: float = 0.9
    attention: float = 0.5
    flash_mb: float = 0.0
    fastest: float = 1.0

    @property
    def asynchronous(self) -> bool:
        """Whether the host runs ahead, so that launching overlaps with computing."""
        return self.kind == "gpu"

    def matrix_units(self, precision: str) -> bool:
        """Whether products run on a GPU's matrix units (tensor cores)."""
        return self.kind == "gpu" and precision != "fp32"

    def tiles(self, precision: str) -> tuple[Tile, ...]:
        """How products are cut."""
        if self.kind == "gpu" and not self.matrix_units(precision):
            return SIMT_TILES
        return TILES[self.kind]

    def reached_tflops(self, precision: str) -> float:
        """What large products reach, 10^12 operations a second."""
        simt = self.kind == "gpu" and not self.matrix_units(precision)
        return self.peak_tflops(precision) * (self.sustained_fp32 if simt else self.sustained)

    @property
    def precisions(self) -> tuple[str, ...]:
        """What it can compute in; ``amp`` is fp32 with products in half precision."""
        half = ("amp",) if "fp16" in self.tflops or "bf16" in self.tflops else ()
        return (*self.tflops, *half)

    def peak_tflops(self, precision: str) -> float:
        """Dense peak of matrix products, 10^12 operations a second."""
        if precision == "amp":
            precision = "fp16" if "fp16" in self.tflops else "bf16"
        return self.tflops[precision]

    def pj_per_mac(self, precision: str) -> float:
        """Energy of one multiply-add, 10^-12 J: what is left of the power at peak rate."""
        return (self.power_w - self.static_w) / (self.peak_tflops(precision) / 2)
