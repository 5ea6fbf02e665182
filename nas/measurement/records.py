"""Measurements as data: one row per model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nas.measurement.slot import Slot
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError

SCHEMA_VERSION = 1
MIN_MEASUREMENTS = 10
"""A predictor needs so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Latency of one architecture on one profile.

    Every figure but those in ``slots`` is corrected for drift. A slot's median is divided by the
    drift of its moment. The fastest run is divided by the drift of the reference's fastest run in
    the same block: both have had the same moments to be undisturbed in.

    Attributes:
        profile: ``HardwareProfile.key()``.
        digest: key of the architecture.
        architecture: the architecture as plain data.
        latency_ms: median over the rounds of each round's median: what is reported.
        floor_ms: fastest run of all rounds: steadier on a busy machine.
        p90_ms: median over the rounds of each round's 90th percentile.
        iqr_ms: median over the rounds of each round's interquartile range.
        n: timed runs of all rounds.
        noisy: whether more than half of the rounds stayed noisy in spite of repeats.
        slots: raw statistics of each round.
        drifts: slowness of the machine at each round: reference / its level; 1.02 = 2 % slower.
        floor_drift: the same of the reference's fastest run in the block.
        reference_ms: the reference model's mean time beside the rounds.
        reference_level_ms: what drift is relative to: the reference's fastest run when the file
            began.
        clock: what was read, see ``Prepared.clock``.
        date: UTC, ISO 8601.
        machine: description of the computer, see ``Machine``.
        tokens: patch tokens that the images kept, where the number depends on them and the runtime
            runs no more; None: the network's own number, the most.
    """

    profile: str
    digest: str
    architecture: Mapping[str, Any]
    latency_ms: float
    floor_ms: float
    p90_ms: float
    iqr_ms: float
    n: int
    noisy: bool
    slots: tuple[Slot, ...]
    drifts: tuple[float, ...]
    floor_drift: float
    reference_ms: float
    reference_level_ms: float
    clock: str
    date: str
    machine: Mapping[str, Any]
    tokens: int | None = None

    def half_ms(self, first: int, statistic: str) -> float:
        """The ``latency`` or ``floor`` (``statistic``) of every second round from ``first`` on."""
        slots, drifts = self.slots[first::2], self.drifts[first::2]
        if statistic == "floor":
            return min(slot.min_ms for slot in slots) / self.floor_drift
        pairs = zip(slots, drifts, strict=True)
        return float(np.median([slot.median_ms / drift for slot, drift in pairs]))

    def provenance(self) -> dict[str, Any]:
        """What must stand beside the latency wherever it is shown."""
        return {
            "source": "measured",
            "profile": self.profile,
            "statistic": "median",
            "clock": self.clock,
            "n": self.n,
            "iqr_ms": self.iqr_ms,
            "p90_ms": self.p90_ms,
            "date": self.date,
            "machine": dict(self.machine),
            **({} if self.tokens is None else {"tokens": self.tokens}),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the JSON line."""
        values = asdict(self)
        if self.tokens is None:
            del values["tokens"]
        return {"schema": SCHEMA_VERSION, "kind": "measurement", **values}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Measurement:
        """The inverse of ``to_dict``.

        Raises:
            UserError: the row was written by a version that means something else by it.
        """
        values = dict(data)
        if values.pop("schema", None) != SCHEMA_VERSION or values.pop("kind", "") != "measurement":
            raise UserError(f"measurement row: schema is not {SCHEMA_VERSION}")
        try:
            values["slots"] = tuple(Slot.from_dict(slot) for slot in values["slots"])
            values["drifts"] = tuple(values["drifts"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise UserError(f"measurement row: a field is missing or unknown: {error}") from error

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        slots: Iterable[Slot],
        drifts: Iterable[float],
        floor_drift: float,
        max_relative_iqr: float,
        **context: Any,
    ) -> Measurement:
        """Combine the rounds of one model.

        Args:
            architecture: what was measured.
            slots: raw statistics of each round.
            drifts: drift of each round.
            floor_drift: drift of the block's fastest reference run.
            max_relative_iqr: above it a round counts as noisy.
            context: the remaining fields.
        """
        kept, factors = tuple(slots), np.array(list(drifts), dtype=np.float64)

        def middle(name: str) -> float:
            return float(np.median([getattr(slot, name) for slot in kept] / factors))

        noisy = sum(slot.relative_iqr > max_relative_iqr for slot in kept)
        return cls(
            digest=architecture.digest(),
            architecture=architecture.to_dict(),
            latency_ms=middle("median_ms"),
            floor_ms=min(slot.min_ms for slot in kept) / floor_drift,
            p90_ms=middle("p90_ms"),
            iqr_ms=middle("iqr_ms"),
            n=sum(slot.n for slot in kept),
            noisy=2 * noisy > len(kept),
            slots=kept,
            drifts=tuple(factors.tolist()),
            floor_drift=floor_drift,
            **context,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An architecture that the profile's runtime cannot run.

    Attributes:
        profile: ``HardwareProfile.key()``.
        digest: key of the architecture.
        architecture: the architecture as plain data.
        reason: one line.
        date: UTC, ISO 8601.
    """

    profile: str
    digest: str
    architecture: Mapping[str, Any]
    reason: str
    date: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the JSON line."""
        return {"schema": SCHEMA_VERSION, "kind": "failure", **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Failure:
        """The inverse of ``to_dict``."""
        return cls(**{key: data[key] for key in data if key not in ("schema", "kind")})
