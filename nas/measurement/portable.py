"""A profile's measurements as one file that others can use: what was measured, where, of what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.hardware.machine import Machine
from nas.hardware.profile import HardwareConfig, HardwareProfile
from nas.measurement.file import MeasurementFile
from nas.measurement.records import MIN_MEASUREMENTS, Failure, Measurement
from nas.run_folder import read_json, write_json
from search_spaces.errors import UserError, bad_value

KIND = "formfinder hardware profile"
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareFile:
    """What ``formfinder profile`` writes as ``profiles/KEY.hardware.json``.

    Attributes:
        profile: device, runtime, precision, threads, batch, image.
        machine: the computer, with versions.
        space: the search space the networks were drawn from, as its own data.
        num_classes: outputs of their heads.
        rows: the measurements; each has its date, spread and noise.
        failures: networks the runtime could not run.
        report: of the predictor fitted to them: held-out error, and the measurement's own.
    """

    profile: HardwareProfile
    machine: Machine
    space: Mapping[str, Any]
    num_classes: int
    rows: tuple[Measurement, ...]
    failures: tuple[Failure, ...]
    report: Mapping[str, Any]

    def save(self, path: Path) -> None:
        """Write it.

        Raises:
            UserError: it cannot be written.
        """
        dates = sorted(row.date for row in self.rows)
        spread = float(np.median([row.iqr_ms / row.latency_ms for row in self.rows]))
        write_json(
            path,
            {
                "kind": KIND,
                "schema_version": SCHEMA_VERSION,
                "profile": self.profile.to_dict(),
                "machine": self.machine.to_dict(),
                "measured": {
                    "networks": len(self.rows),
                    "first": dates[0],
                    "last": dates[-1],
                    "relative_iqr": spread,
                    "noisy": sum(row.noisy for row in self.rows),
                },
                "report": dict(self.report),
                "space": dict(self.space),
                "num_classes": self.num_classes,
                "rows": [*(r.to_dict() for r in self.rows), *(f.to_dict() for f in self.failures)],
            },
        )

    @classmethod
    def load(cls, path: Path) -> HardwareFile:
        """Read it.

        Raises:
            UserError: there is none, it is damaged or of a later version, or its rows are of
                another profile than it says.
        """
        data = read_json(path)
        if data.get("kind") != KIND:
            raise UserError(f"{path}: no hardware file; `formfinder profile` writes them")
        if data.get("schema_version") != SCHEMA_VERSION:
            raise bad_value(
                f"{path}: schema_version", data.get("schema_version"), f"{SCHEMA_VERSION}"
            )
        try:
            profile = HardwareProfile.from_dict(data["profile"])
            machine = Machine(**data["machine"])
            rows, failures = _split(data["rows"])
            made = cls(
                profile=profile,
                machine=machine,
                space=data["space"],
                num_classes=data["num_classes"],
                rows=rows,
                failures=failures,
                report=data["report"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: damaged: {_in_words(error)}") from error
        for number, row in enumerate(rows):
            if not all(math.isfinite(v) and v > 0 for v in (row.latency_ms, row.floor_ms)):
                raise UserError(f"{path}: rows[{number}]: latencies are positive numbers of ms")
        if len(rows) < MIN_MEASUREMENTS:
            raise bad_value(f"{path}: measured networks", len(rows), f"at least {MIN_MEASUREMENTS}")
        every: list[Measurement | Failure] = [*rows, *failures]
        foreign = {row.profile for row in every} - {profile.key()}
        if foreign:
            raise UserError(f"{path}: says {profile.key()}, but holds rows of {min(foreign)}")
        return made

    def config(self) -> HardwareConfig:
        """The profile as a configuration."""
        one = self.profile
        return HardwareConfig(
            device=one.device,
            runtime=one.runtime,
            precision=one.precision,
            threads=one.threads,
            batch=one.batch,
        )

    def check_space(self, space: Mapping[str, Any], path: Path) -> None:
        """Refuse a file of another space: its networks, and what they cost, are others.

        Raises:
            UserError: names the first difference.
        """
        difference = first_difference(dict(self.space), dict(space))
        if difference is not None:
            raise UserError(f"{path}: measured in another space: {difference}")

    def copy_to(self, path: Path) -> None:
        """Put the rows into a run's own measurement file, unless it has some.

        Raises:
            UserError: it cannot be written.
        """
        if not path.exists():
            MeasurementFile(path, self.profile.key()).append([*self.rows, *self.failures])


def first_difference(theirs: Any, ours: Any, place: str = "space") -> str | None:
    """Where two pieces of plain data begin to differ, in words; None where they are equal."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for key in (*theirs, *(key for key in ours if key not in theirs)):
            found = first_difference(theirs.get(key), ours.get(key), f"{place}.{key}")
            if found is not None:
                return found
        return None
    if _is_list(theirs) and _is_list(ours) and len(theirs) == len(ours):
        for index, pair in enumerate(zip(theirs, ours, strict=True)):
            found = first_difference(*pair, f"{place}[{index}]")
            if found is not None:
                return found
        return None
    return None if theirs == ours else f"{place} is {theirs} there and {ours} here"


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _in_words(error: Exception) -> str:
    return f"the field {error} is missing" if isinstance(error, KeyError) else str(error)


def _split(rows: Any) -> tuple[tuple[Measurement, ...], tuple[Failure, ...]]:
    measured = tuple(Measurement.from_dict(row) for row in rows if row["kind"] == "measurement")
    failed = tuple(Failure.from_dict(row) for row in rows if row["kind"] == "failure")
    return measured, failed
