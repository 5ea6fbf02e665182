"""Why a network is slow: its layers by time, sizes that are padded, and what one change saves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nas.roofline.estimating import Estimate, estimate_work
from nas.roofline.products import ALIGNED_BYTES, PRODUCTS
from nas.roofline.setting import Setting
from nas.roofline.spec import BYTES
from search_spaces.architecture import NONE, Architecture, Block, OpSetting, Stage
from search_spaces.errors import UserError
from search_spaces.workload import Kernel

if TYPE_CHECKING:
    from search_spaces.space import SearchSpace
    from supernet.workload import Workload

STEP = {"gpu": 8, "cpu": 16, "mcu": 4}
"""Elements that a vector or a matrix unit takes at once, in the usual precision of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTime:
    """One part of a network.

    Attributes:
        name, op: as in the workload.
        latency_ms: estimated for one batch.
        share: of the whole.
        bound: ``compute``, ``bandwidth`` or ``launch``: what most of its time waits for.
        of_peak: arithmetic done, as a share of what the device could have done meanwhile.
    """

    name: str
    op: str
    latency_ms: float
    share: float
    bound: str
    of_peak: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A single change and what it saves.

    Attributes:
        what: in words: ``stage0.layer3.heads 4 → 2``.
        latency_ms: with the change.
        saved_ms: less than before.
    """

    what: str
    latency_ms: float
    saved_ms: float


def layer_times(work: Workload, found: Estimate, setting: Setting) -> list[LayerTime]:
    """The parts of an estimate by layer."""
    peak = setting.spec.peak_tflops(setting.precision) * 1e12 * setting.share
    made = []
    for layer in work.layers:
        parts = [kernel for kernel in found.kernels if kernel.layer == layer.name]
        spent = sum(part.latency_ms for part in parts)
        waits: Counter[str] = Counter()
        for part in parts:
            waits[part.bound] += part.latency_ms  # type: ignore[assignment]
        flops = 2.0 * layer.macs * setting.batch
        made.append(
            LayerTime(
                name=layer.name,
                op=layer.op,
                latency_ms=spent,
                share=spent / found.latency_ms,
                bound=waits.most_common(1)[0][0] if spent else "",
                of_peak=flops / (spent / 1e3 * peak) if spent else 0.0,
            )
        )
    return made


def padded_sizes(work: Workload, setting: Setting) -> list[str]:
    """Sizes that the device fills up to what its units take at once, one line each."""
    step = alignment(setting)
    seen: dict[tuple[str, int], list[str]] = {}
    for layer in work.layers:
        for kernel in layer.kernels:
            for name, size in _sizes(kernel):
                if size % step:
                    seen.setdefault((name, size), []).append(layer.name)
    return [
        f"{name} {size} is no multiple of {step}: computed as {-(-size // step) * step} "
        f"({_where(layers)})"
        for (name, size), layers in seen.items()
    ]


def alignment(setting: Setting) -> int:
    """Elements that rows of a product should be a multiple of."""
    if setting.spec.matrix_units(setting.precision):
        return ALIGNED_BYTES // min(BYTES[setting.precision], 4)
    return STEP[setting.spec.kind]


def _sizes(kernel: Kernel) -> Iterator[tuple[str, int]]:
    if kernel.op not in PRODUCTS or not kernel.macs:
        return
    if kernel.op == "attention":
        yield "head width", int(kernel.k)
    elif kernel.op == "linear":
        yield "input width", int(kernel.k)
        if kernel.m > 1:  # a classifier's outputs are as many as there are classes
            yield "output width", int(kernel.n)


def _where(layers: Sequence[str]) -> str:
    names = list(dict.fromkeys(layers))
    return names[0] if len(names) == 1 else f"{len(names)} layers, first {names[0]}"


def changes(
    architecture: Architecture,
    num_classes: int,
    device: str,
    setting: Setting,
    space: SearchSpace | None = None,
) -> list[Change]:
    """Every single change, by what it saves, the most first; those that save nothing left out.

    Args:
        architecture: what is changed.
        num_classes: outputs of the head.
        device, setting: where it runs.
        space: changes are those of one of its genes; None: one layer, head, type, a quarter of an
            MLP or of a width less.
    """
    from supernet.workload import workload

    def ms(value: Architecture) -> float:
        return estimate_work(workload(value, num_classes), device, setting).latency_ms

    before = ms(architecture)
    found: dict[str, Change] = {}
    near = smaller(architecture) if space is None else neighbours(architecture, space)
    for what, value in near:
        try:
            after = ms(value)
        except UserError:
            continue  # not legal
        if value != architecture and after < before:
            found.setdefault(
                value.digest(), Change(what=what, latency_ms=after, saved_ms=before - after)
            )
    return sorted(found.values(), key=lambda change: -change.saved_ms)


def neighbours(
    architecture: Architecture, space: SearchSpace
) -> Iterator[tuple[str, Architecture]]:
    """Members of a space that differ in one gene; what must follow from it follows."""
    row = space.encode(architecture)
    for column, gene in enumerate(space.genes):
        for index, choice in enumerate(gene.choices):
            if index != row[column]:
                other = row.copy()
                other[column] = index
                repaired = space.repair(other[None])[0][0]
                if repaired[column] == index and np.any(repaired != row):
                    what = f"{gene.name} {gene.choices[row[column]]} → {choice}"
                    yield what, space.decode(repaired)


def smaller(architecture: Architecture) -> Iterator[tuple[str, Architecture]]:
    """Networks with one thing less than this one."""
    for number, stage in enumerate(architecture.stages):
        place = f"stage{number}"
        if len(stage.blocks) > 1:
            fewer = replace(stage, blocks=stage.blocks[:-1])
            left = len(fewer.blocks)
            what = f"{place}: {left} layer{'s' * (left != 1)}"
            yield what, _with(architecture, number, fewer)
        width = _quarter_less(stage.width, 32)
        if width < stage.width:
            thinner = replace(stage, width=width)
            what = f"{place}: width {stage.width} → {width}"
            yield what, _with(architecture, number, thinner)
        for layer, block in enumerate(stage.blocks):
            for what, other in _lighter(block):
                blocks = (*stage.blocks[:layer], other, *stage.blocks[layer + 1 :])
                changed = replace(stage, blocks=blocks)
                yield f"{place}.layer{layer}: {what}", _with(architecture, number, changed)


def _lighter(block: Block) -> Iterator[tuple[str, Block]]:
    if block.heads > 1:
        yield f"heads {block.heads} → {block.heads - 1}", replace(block, heads=block.heads - 1)
    hidden = _quarter_less(block.mlp_hidden, 16)
    if hidden < block.mlp_hidden:
        yield f"MLP {block.mlp_hidden} → {hidden}", replace(block, mlp_hidden=hidden)
    if block.attention != NONE and block.reduction == NONE:
        without = replace(block, attention=OpSetting("none"), heads=0, head_dim=0)
        yield f"{block.attention} → none", without


def _with(architecture: Architecture, number: int, stage: Stage) -> Architecture:
    stages = (*architecture.stages[:number], stage, *architecture.stages[number + 1 :])
    return replace(architecture, stages=stages)


def _quarter_less(size: int, step: int) -> int:
    return max(size * 3 // 4 // step, 1) * step
