"""Peak memory of a runtime without a closed form: networks are measured, and a form is fitted."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from nas.display import Display
from nas.hardware.described import as_described
from nas.hardware.profile import HardwareProfile
from nas.measurement.memory import PeakMemory
from nas.measurement.memory_file import FORM, Entry, like
from nas.measurement.memory_fit import fit_memory
from nas.measurement.records import MIN_MEASUREMENTS
from nas.measurement.repeatability import agreement
from nas.run import Run
from nas.run_folder import read_json, write_json
from nas.runtimes.base import RUNTIMES, UnsupportedModelError
from nas.steps.subnets import build, profile_subnets
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError
from supernet.costs import TORCH_EAGER
from supernet.extract import VisionTransformer

FEWEST, MOST = 20, 40
ENDS = 4
"""The ends of the space are measured first: where none of them can be told, no other can."""
NETWORKS = "networks"
FIELDS = set(PeakMemory.__dataclass_fields__)
HALF = {"bf16": 2, "fp16": 2}
Row = dict[str, Any]


def fitted_memory(run: Run, entries: Mapping[str, Entry], display: Display) -> Entry | None:
    """What is fitted to a profile's own peak memory: measured here, or for a like profile.

    None where its runtime has a closed form, cannot be asked from here, or does not tell enough.
    """
    profile = run.profile
    if not _open(run, profile):
        return None
    known = like(entries, profile.runtime, profile.precision, profile.batch)
    alike = RUNTIMES[profile.runtime].memory_is_portable
    found = next((entry for _, entry in known if alike and FORM in entry), None)
    return found or _measured_and_fitted(run, display)


def measured_in(run: Run, profile: HardwareProfile, model: VisionTransformer) -> PeakMemory | None:
    """Memory in the profile's runtime; None where that cannot tell."""
    try:
        return RUNTIMES[profile.runtime].peak_memory(model, run.example(profile), profile)
    except UnsupportedModelError:  # said, and left out, where its latency is measured
        return None


def row(subnet: Architecture, predicted_mb: float, measured: PeakMemory) -> Row:
    """One network of a memory file."""
    return {
        "digest": subnet.digest(),
        "predicted_mb": float(predicted_mb),
        "measured_mb": measured.peak_memory_mb,
        "measured_activation_mb": measured.peak_activation_mb,
    }


def now() -> str:
    """UTC, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _open(run: Run, profile: HardwareProfile) -> bool:
    """Whether a profile's memory is to be learned, and can be asked from here."""
    runtime = RUNTIMES[profile.runtime]
    return (
        as_described(profile) is None
        and profile.runtime != TORCH_EAGER.runtime
        and runtime.liveness(profile) is None
        and not run.away
        and runtime.unavailable() is None
    )


def _measured_and_fitted(run: Run, display: Display) -> Entry | None:
    profile = run.profile
    count = min(max(run.config.profile.n_runtime, FEWEST), MOST)
    subnets = profile_subnets(run, count)
    told = _told(run, profile, subnets, display)
    if len(told) < max(MIN_MEASUREMENTS, len(subnets) / 2):
        return None
    networks = [subnet for subnet in subnets if subnet.digest() in told]
    measured = [told[subnet.digest()] for subnet in networks]
    input_bytes = HALF.get(profile.precision, 4)
    fitted = fit_memory(networks, measured, run.num_classes, input_bytes, run.config.seed)
    rows = [row(*of) for of in zip(networks, fitted.held_out_mb.tolist(), measured, strict=True)]
    true_mb = [memory.peak_memory_mb for memory in measured]
    return {
        "runtime": profile.runtime,
        "precision": profile.precision,
        "batch": profile.batch,
        "date": now(),
        "report": agreement(fitted.held_out_mb, np.array(true_mb)).to_dict(),
        FORM: fitted.form.to_dict(),
        "rows": rows,
    }


def _told(
    run: Run, profile: HardwareProfile, subnets: Sequence[Architecture], display: Display
) -> dict[str, PeakMemory]:
    """Memory by digest of those networks that the runtime tells it of.

    Each is written down as it comes: where a call takes a minute, a kill costs one.
    """
    path = run.folder.memory_measurements(profile.key())
    asked = _asked(path)
    with display.bar("memory", len(subnets), "subnets", done=len(asked)) as bar:
        for done, subnet in enumerate(subnets):
            if done == ENDS and not any(asked.values()):
                break
            if subnet.digest() not in asked:
                found = measured_in(run, profile, build(subnet, run.num_classes))
                asked[subnet.digest()] = None if found is None else asdict(found)
                write_json(path, {NETWORKS: asked})
            bar.at(done + 1)
    return {digest: PeakMemory(**found) for digest, found in asked.items() if found}


def _asked(path: Path) -> dict[str, Row | None]:
    """What earlier starts measured: by digest, None where the runtime did not tell.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return {}
    found = read_json(path).get(NETWORKS)
    if isinstance(found, dict) and all(row is None or set(row) == FIELDS for row in found.values()):
        return found
    raise UserError(f"{path}: not peak memory by network; delete the file to measure again")
