"""Hard limits: those of a run, and whether anything of its space can meet them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from nas.config import RunConfig
from nas.hardware.described import DescribedDevice
from nas.hardware.device import DEVICES
from nas.objectives import OBJECTIVES, Limit, read_limits
from nas.roofline.columns import DescribedCosts
from nas.runtimes.base import FloatArray
from search_spaces.automaton import IntArray
from search_spaces.errors import UserError
from search_spaces.space import SearchSpace
from supernet.costs import Costs

MCU_METRICS = ("sram_kib", "flash_kib")
COUNTED = ("peak_memory_mb", "params", "macs")
PROBE = 4096
ROUNDS, PATIENCE = 30, 6
PARENTS = 256

Price = Callable[[IntArray], Mapping[str, FloatArray]]
"""Free metrics of legal gene rows ``(B, G)``: columns ``(B,)`` by name."""


def limits_of(config: RunConfig) -> tuple[Limit, ...]:
    """The hard limits of a run: those that were asked for, and those its devices come with.

    Raises:
        UserError: one cannot be read.
    """
    asked = tuple(
        limit
        for name, value in config.constraints.items()
        for limit in read_limits(OBJECTIVES[name], value)
    )
    return asked + tuple(
        limit
        for limit in device_limits(profile.device for profile in config.hardware.values())
        if not any(_tighter(one, limit) for one in asked)
    )


def device_limits(names: Iterable[str]) -> tuple[Limit, ...]:
    """What no network may exceed on these devices: SRAM and flash of a microcontroller."""
    bounds: dict[str, float] = {}
    for device in map(DEVICES.__getitem__, names):
        if isinstance(device, DescribedDevice):
            for metric, bound in device.limits.items():
                bounds[metric] = min(bound, bounds.get(metric, math.inf))
    return tuple(Limit(OBJECTIVES[metric], bound) for metric, bound in bounds.items())


def check_metrics(config: RunConfig) -> None:
    """Refuse to search for, or limit, what a device does not have: SRAM of a server, say.

    Raises:
        UserError: names the metric and the device.
    """
    asked = [
        (f"constraints.{name}", name) for name, v in config.constraints.items() if v is not None
    ]
    for field, name in [*asked, *(("search.objectives", n) for n in config.search.objectives)]:
        for profile in config.hardware.values():
            device = DEVICES[profile.device]
            limits = device.limits if isinstance(device, DescribedDevice) else {}
            if name in MCU_METRICS and name not in limits:
                raise UserError(
                    f"{field}: {name} is known of microcontrollers alone, not of "
                    f"{profile.device!r}; there peak_memory_mb and params say as much"
                )


def _tighter(asked: Limit, limit: Limit) -> bool:
    same = (asked.objective.name, asked.side) == (limit.objective.name, limit.side)
    return same and not asked.holds(limit.bound)


def end_rows(space: SearchSpace) -> IntArray:
    """Gene rows of the largest and smallest members of every patch size."""
    rows = [
        space.extreme(largest=largest, patch_size=patch)
        for patch in space.spec.patch_size
        for largest in (True, False)
    ]
    return np.stack(rows)


def probe_rows(space: SearchSpace, seed: int) -> IntArray:
    """Gene rows that show what a space can reach: its ends, and many random members."""
    drawn = space.sample_genes(np.random.default_rng([seed, 4]), PROBE)
    return np.concatenate([end_rows(space), drawn])


def closed_form(costs: Costs, batch: int) -> dict[str, FloatArray]:
    """The metrics that are counted rather than measured or learned, as columns by name."""
    counted = (costs.peak_memory_mb(batch), costs.params_B, costs.macs_B)
    own = costs.columns if isinstance(costs, DescribedCosts) else {}
    return dict(zip(COUNTED, counted, strict=True)) | own


def check_reachable(
    limits: Iterable[Limit], space: SearchSpace, price: Price, seed: int, advice: str = ""
) -> None:
    """Refuse limits that no architecture meets, one by one or together, before anything is paid.

    Candidates are evolved towards the limits, priced by their free metrics alone, until one meets
    them.

    Args:
        limits: those on metrics that are no column are not judged.
        space: what may be proposed.
        price: its free metrics, quantiles included where a limit asks for them.
        seed: of the candidates.
        advice: ends the line.

    Raises:
        UserError: names the limits and the best that can be reached.
    """
    rows = probe_rows(space, seed)
    columns = price(rows)
    judged = [limit for limit in limits if limit.metric in columns]
    groups = [*itertools.combinations(judged, 1), *itertools.combinations(judged, 2)]
    if len(judged) > 2:
        groups.append(tuple(judged))
    for group in groups:
        if (_violation(group, columns) > 0).all():
            nearest = _nearest(group, space, price, rows, seed)
            if _violation(group, price(nearest[None]))[0] > 0:
                raise UserError(_contradiction(group, price(nearest[None])) + advice)


def _nearest(
    limits: Sequence[Limit], space: SearchSpace, price: Price, rows: IntArray, seed: int
) -> IntArray:
    """The gene row with the least sum of violations that an evolution from ``rows`` finds."""
    rng = np.random.default_rng([seed, 5])
    total, best, since = _violation(limits, price(rows)), math.inf, 0
    for _ in range(ROUNDS):
        since = 0 if total.min() < best else since + 1
        best = float(total.min())
        if best <= 0 or since == PATIENCE:
            break
        kept = rows[np.argsort(total, kind="stable")[:PARENTS]]
        first, second = rng.integers(len(kept), size=(2, PROBE // 2))
        crossed = space.crossover(kept[first], kept[second], rng)
        changed = space.mutate(kept[first], rng, 2 / len(space.genes))
        rows = np.concatenate([kept, crossed, changed])
        total = _violation(limits, price(rows))
    nearest: IntArray = rows[int(total.argmin())]
    return nearest


def _violation(limits: Sequence[Limit], columns: Mapping[str, FloatArray]) -> FloatArray:
    """Sum of the relative violations, ``(B,)``."""
    parts = [np.maximum(limit.excess(columns[limit.metric]), 0.0) for limit in limits]
    total: FloatArray = np.nan_to_num(np.sum(parts, axis=0), nan=np.inf)
    return total


def _contradiction(limits: Sequence[Limit], columns: Mapping[str, FloatArray]) -> str:
    values = [float(columns[limit.metric][0]) for limit in limits]
    reached = [_with_unit(limit, value) for limit, value in zip(limits, values, strict=True)]
    if len(limits) == 1:
        return (
            f"{limits[0].asked}: no architecture of the space meets it; the best reachable value "
            f"is about {reached[0]}"
        )
    named = zip(limits, reached, strict=True)
    listed = " and ".join(f"{limit.objective.name} {value}" for limit, value in named)
    return (
        f"{' and '.join(limit.asked for limit in limits)}: no architecture of the space meets "
        f"{'both' if len(limits) == 2 else 'all'}; the best compromise found has {listed}"
    )


def _with_unit(limit: Limit, value: float) -> str:
    unit = f" {limit.objective.unit}" if limit.objective.unit else ""
    sure = "" if limit.confidence is None else f" at the {limit.quantile:g} quantile"
    return f"{value:.4g}{unit}{sure}"
