"""One block: a few models in memory, interleaved in time, beside the reference model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import numpy as np

from nas.hardware.device import DEVICES
from nas.hardware.machine import Machine, now
from nas.hardware.profile import HardwareProfile
from nas.measurement.drift import smooth
from nas.measurement.records import Failure, Measurement
from nas.measurement.slot import MeasurementError, Plan, Slot, steady, time_slot
from nas.runtimes.base import FloatArray, Prepared, Runtime, UnsupportedModelError
from search_spaces.architecture import Architecture

if TYPE_CHECKING:
    from torch import nn

    from supernet.extract import VisionTransformer

Item = tuple[Architecture, Callable[[], "nn.Module"]]

Opener = Callable[[HardwareProfile, Runtime, Plan, int, float | None], "Session"]
"""Makes a session from the arguments that ``Session`` takes: here, or on another machine."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready to be timed.

    Attributes:
        architecture: what it is.
        prepared: the model in the runtime.
        tokens: see ``Measurement.tokens``.
    """

    architecture: Architecture
    prepared: Prepared
    tokens: int | None


@dataclass(frozen=True, slots=True)
class Visit:
    """A slot of one model with the reference's time beside it; visits are in the order of time."""

    index: int
    slot: Slot
    reference_ms: float


class Session:
    """A profile being measured: its runtime, the machine, the reference.

    Args:
        profile: where and how models run.
        runtime: what prepares them.
        plan: how much is measured.
        seed: of the order within blocks.
        level_ms: the reference's time that drift is relative to; by default the fastest of the
            first block.
    """

    def __init__(
        self,
        profile: HardwareProfile,
        runtime: Runtime,
        plan: Plan,
        seed: int,
        level_ms: float | None = None,
    ) -> None:
        import torch

        from nas.device import keep_large_blocks
        from nas.measurement.reference import ReferenceModel

        # As training does before: a run and its profile alone measure under one allocator.
        keep_large_blocks()
        self.plan = runtime.plan(plan)
        self.machine: Machine = DEVICES[profile.device].machine_for(profile)
        self.level_ms = level_ms
        self._profile = profile
        self._runtime = runtime
        self._rng = np.random.default_rng(seed)
        self._example = torch.randn(
            profile.input_shape, generator=torch.Generator().manual_seed(seed)
        )
        self._reference = self._prepare(ReferenceModel(profile.channels, profile.image_size))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reference.close()

    def measure(self, items: Sequence[Item]) -> tuple[list[Measurement | Failure], int]:
        """Measure the first of ``items``: as many as ``plan.block_mb`` of weights allow.

        Returns:
            The rows, and how many items were consumed. An item whose clock failed in most rounds
            has no row, so that it is tried again another time.
        """
        loaded: list[Loaded] = []
        rows: list[Measurement | Failure] = []
        weights_mb, taken = 0.0, 0
        try:
            for architecture, build in items:
                if weights_mb > self.plan.block_mb:
                    break
                taken += 1
                model = build()
                weights_mb += sum(p.numel() * p.element_size() for p in model.parameters()) / 1e6
                tokens = self._tokens(architecture, model)
                try:
                    prepared = self._prepare(model)
                except UnsupportedModelError as error:
                    rows.append(self._failure(architecture, str(error)))
                    continue
                loaded.append(Loaded(architecture, prepared, tokens))
            if loaded:
                rows.extend(self._time(loaded))
        finally:
            for one in loaded:
                one.prepared.close()
        return rows, taken

    def _prepare(self, model: nn.Module) -> Prepared:
        return self._runtime.prepare(model, self._example, self._profile)

    def _tokens(self, architecture: Architecture, model: nn.Module) -> int | None:
        """The tokens of the image that keeps most, where images decide."""
        from supernet.ragged import is_ragged, token_counts

        if not self._runtime.adaptive or not is_ragged(architecture):
            return None
        return int(token_counts(cast("VisionTransformer", model), self._example).max())

    def _failure(self, architecture: Architecture, reason: str) -> Failure:
        return Failure(
            profile=self._profile.key(),
            digest=architecture.digest(),
            architecture=architecture.to_dict(),
            reason=reason,
            date=now(),
        )

    def _time(self, loaded: Sequence[Loaded]) -> list[Measurement]:
        visits = list(self._visits([one.prepared for one in loaded]))
        if not visits:
            return []
        reference_S = np.array([visit.reference_ms for visit in visits])
        if self.level_ms is None:
            self.level_ms = float(reference_S.min())
        smooth_S, floor_drift = smooth(reference_S), float(reference_S.min()) / self.level_ms
        rows = []
        for index, one in enumerate(loaded):
            own = [s for s, visit in enumerate(visits) if visit.index == index]
            if 2 * len(own) > self.plan.rounds:
                slots = [visits[s].slot for s in own]
                beside = (smooth_S[own], floor_drift)
                rows.append(self._row(one, slots, beside))
        return rows

    def _visits(self, loaded: Sequence[Prepared]) -> Iterator[Visit]:
        plan = self.plan
        once = replace(plan, attempts=1)  # the running median deals with a noisy reference
        seen: list[list[float]] = [[] for _ in loaded]
        for number in range(plan.rounds + plan.extra_rounds):
            warmup_runs = plan.rewarm_runs if number else plan.warmup_runs
            for index in self._rng.permutation(len(loaded)).tolist():
                # Decided once, so that even and odd rounds are equally many.
                if number == plan.rounds and steady(seen[index], plan):
                    seen[index].clear()
                if number >= plan.rounds and not seen[index]:
                    continue
                try:
                    slot = time_slot(loaded[index], plan, warmup_runs)
                    beside = time_slot(self._reference, once, plan.rewarm_runs, plan.reference_runs)
                except MeasurementError:
                    continue  # the clock jumped; the other rounds remain
                seen[index].append(slot.median_ms / beside.min_ms)
                yield Visit(index, slot, beside.min_ms)

    def _row(
        self,
        one: Loaded,
        slots: list[Slot],
        beside: tuple[FloatArray, float],
    ) -> Measurement:
        assert self.level_ms is not None
        reference_R, floor_drift = beside
        return Measurement.of(
            one.architecture,
            slots,
            (reference_R / self.level_ms).tolist(),
            floor_drift,
            self.plan.max_relative_iqr,
            profile=self._profile.key(),
            reference_ms=float(np.mean(reference_R)),
            reference_level_ms=self.level_ms,
            clock=one.prepared.clock,
            tokens=one.tokens,
            date=now(),
            machine=self.machine.to_dict(),
        )
