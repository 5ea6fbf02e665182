"""Peak memory: the form that is searched with beside what is measured, and of front members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nas.display import Display
from nas.front import Metric
from nas.hardware.described import as_described
from nas.hardware.profile import HardwareProfile
from nas.measurement.memory import PeakMemory, measure_peak_memory
from nas.measurement.memory_file import FORM, FP32, PROFILES, Entry, like, memory_of, profiles_in
from nas.measurement.repeatability import agreement
from nas.run import Run
from nas.run_folder import read_json, write_json
from nas.runtimes.base import RUNTIMES
from nas.steps.memory_fitting import FEWEST, Row, fitted_memory, measured_in, now, row
from nas.steps.subnets import build, profile_subnets
from supernet.costs import TORCH_EAGER, Costs
from supernet.extract import VisionTransformer
from supernet.workload import workload


def check_memory(run: Run, display: Display) -> None:
    """Hold the form of peak memory against measurements, and say how well it does.

    Where the profile's runtime has no closed form, one is fitted to its measurements, and is what
    costs are made of from then on. Each profile is measured once; those of one runtime, precision
    and batch share what was found.
    """
    told: list[str] = []
    for one in run.searches:
        if as_described(one.profile) is not None:
            continue
        entries = _entries(run.folder.memory, run)
        found = entries.get(one.profile.key())
        if found is None:
            found = _found(one, entries, display)
            entries[one.profile.key()] = found
            write_json(run.folder.memory, {PROFILES: entries})
            if FORM in found:
                one.price_anew()
        parts = [_line(part) for part in (found, found.get("beside")) if part]
        for line in (*parts, *_not_told(one)):
            if line not in told:
                display.line(line)
                told.append(line)


def member_memory(run: Run, model: VisionTransformer, costs: Costs) -> Metric:
    """Peak memory of a front's member, in the runtime of the search's form.

    It is measured there where it can be; below what the runtime tells, the form stands.
    """
    profile, runtime = run.profile, run.costs.liveness.runtime
    predicted = float(costs.peak_memory_mb(profile.batch)[0])
    memory = _measured(run, profile, model)
    if memory is not None:
        return Metric(
            value=memory.peak_memory_mb,
            kind="measured",
            predicted={"value": predicted},
            source={"runtime": memory.runtime, "batch": memory.batch, "date": now()},
        )
    entry = _entries(run.folder.memory, run).get(profile.key(), {})
    known = "fitted" if FORM in entry else "closed_form"
    source: Row = {"runtime": runtime, "batch": profile.batch, known: True}
    report = entry.get("report")
    if report:
        source |= {"measured_networks": report["n"], "mape": report["mape"]}
    return Metric(value=predicted, kind="predicted", source=source)


def _found(run: Run, entries: Mapping[str, Entry], display: Display) -> Entry:
    """What a profile's memory is: of its own runtime, if that tells, and torch eager beside it."""
    known = {**_theirs(run), **entries}
    fitted = fitted_memory(run, known, display)
    if fitted is not None and "beside" in fitted:
        return fitted
    found = _borrowed(run, known) or _compared(run, entries, display)
    return found if fitted is None else {**fitted, "beside": found}


def _entries(path: Path, run: Run) -> dict[str, Entry]:
    """What a memory file holds by profile; none where there is no file."""
    if not path.exists():
        return {}
    stored = read_json(path)
    keys = [profile.key() for profile in run.profiles if as_described(profile) is None]
    # A file of before is about the first profile.
    names = profiles_in(stored) if PROFILES in stored else keys[:1]
    return {key: found for key in names if (found := memory_of(stored, key))}


def _theirs(run: Run) -> dict[str, Entry]:
    """What ``supernet=RUN`` has measured."""
    assert run.source is not None
    return _entries(run.source.memory, run) if run.source.path != run.folder.path else {}


def _borrowed(run: Run, known: Mapping[str, Entry]) -> Entry | None:
    """What no machine changes: found for a like profile, here or in ``supernet=RUN``."""
    precision = _precision(run.costs.liveness.runtime, run.profile)
    wanted = (run.costs.liveness.runtime, precision, run.profile.batch)
    return next((entry for _, entry in like(known, *wanted)), None)


def _compared(run: Run, entries: Mapping[str, Entry], display: Display) -> Entry:
    """What is stored: the runtime whose closed form is searched with, torch eager beside it."""
    count = max(run.config.profile.n_torch, FEWEST)
    subnets, runtime = profile_subnets(run, count), run.costs.liveness.runtime
    known = next((e for _, e in like(entries, TORCH_EAGER.runtime, FP32, run.profile.batch)), None)
    in_torch: list[Row] = []
    own: list[Row] = []
    with display.bar("memory", len(subnets), "subnets") as bar:
        for done, subnet in enumerate(subnets, 1):
            model = build(subnet, run.num_classes)
            if known is None:
                found = measure_peak_memory(model, run.example(run.profile))
                closed_mb = workload(subnet, run.num_classes).peak_memory_mb(run.profile.batch)
                in_torch.append(row(subnet, closed_mb, found))
            if runtime != TORCH_EAGER.runtime and len(own) < FEWEST:
                there = _measured(run, run.profile, model)
                costs = run.costs(run.genes([subnet]))
                if there is not None:
                    own.append(row(subnet, costs.peak_memory_mb(run.profile.batch)[0], there))
            bar.at(done)
    torch_too = known or _stored(TORCH_EAGER.runtime, run.profile, in_torch)
    if not own:
        return torch_too
    return {**_stored(runtime, run.profile, own), "beside": torch_too}


def _measured(run: Run, profile: HardwareProfile, model: VisionTransformer) -> PeakMemory | None:
    """Memory in the runtime of the run's closed form; None where that cannot tell."""
    example = run.example(profile)
    if run.costs.liveness.runtime == TORCH_EAGER.runtime:
        return measure_peak_memory(model, example)
    if RUNTIMES[profile.runtime].unavailable() is not None:  # it is a profile of another machine
        return None
    return measured_in(run, profile, model)


def _stored(runtime: str, profile: HardwareProfile, rows: Sequence[Row]) -> Entry:
    found = np.array([row["predicted_mb"] for row in rows], dtype=np.float64)
    true = np.array([row["measured_mb"] for row in rows], dtype=np.float64)
    return {
        "runtime": runtime,
        "precision": _precision(runtime, profile),
        "batch": profile.batch,
        "date": now(),
        "report": agreement(found, true).to_dict(),
        "rows": rows,
    }


def _precision(runtime: str, profile: HardwareProfile) -> str:
    """Torch eager answers in fp32, whatever the profile's own runtime computes in."""
    return FP32 if runtime == TORCH_EAGER.runtime else profile.precision


def _line(stored: Mapping[str, Any]) -> str:
    """How well the closed form tells the measured peak."""
    report, precision = stored["report"], stored.get("precision", FP32)
    runtime = stored["runtime"] if precision == FP32 else f"{stored['runtime']} {precision}"
    made = "fitted form held out on" if FORM in stored else "closed form against"
    return (
        f"peak memory in {runtime}, batch {stored['batch']}, {made} "
        f"{report['n']} measured: MAPE {report['mape']:.1%}, tau {report['kendall_tau']:.3f}"
    )


def _not_told(run: Run) -> list[str]:
    """That a profile's runtime says nothing of memory, where torch eager's form stands for it."""
    profile = run.profile
    if profile.runtime == run.costs.liveness.runtime or RUNTIMES[profile.runtime].liveness(profile):
        return []
    name = f"{profile.runtime} {profile.precision}"
    return [
        f"{profile.key()}: peak memory of {name} cannot be told; "
        f"limits and the search use that of {TORCH_EAGER.runtime}"
    ]
