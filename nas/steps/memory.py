"""Peak memory: the closed form beside what is measured, in profiling and of a front's members."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nas.display import Display
from nas.front import Metric
from nas.hardware.described import as_described
from nas.hardware.profile import HardwareProfile
from nas.measurement.memory import PeakMemory, measure_peak_memory
from nas.measurement.repeatability import agreement
from nas.run import Run
from nas.run_folder import read_json, write_json
from nas.runtimes.base import RUNTIMES, UnsupportedModelError
from nas.steps.subnets import build, profile_subnets
from search_spaces.architecture import Architecture
from supernet.costs import TORCH_EAGER, Costs
from supernet.extract import VisionTransformer
from supernet.workload import workload

FEWEST = 20
Row = dict[str, Any]


def check_memory(run: Run, display: Display) -> None:
    """Hold the closed form of peak memory against measurements, once, and say how well it does."""
    one = next(one for one in run.searches if as_described(one.profile) is None)
    path = run.folder.memory
    if not path.exists() and not _borrow(one):
        write_json(path, _compared(one, display))
    stored = read_json(path)
    for found in (stored, stored.get("beside")):
        if found:
            display.line(_line(found))


def member_memory(run: Run, model: VisionTransformer, costs: Costs) -> Metric:
    """Peak memory of a front's member, in the runtime of the search's closed form.

    It is measured there where it can be; below what the runtime tells, the closed form stands.
    """
    profile, runtime = run.profile, run.costs.liveness.runtime
    predicted = float(costs.peak_memory_mb(profile.batch)[0])
    memory = _measured(run, profile, model)
    if memory is not None:
        return Metric(
            value=memory.peak_memory_mb,
            kind="measured",
            predicted={"value": predicted},
            source={"runtime": memory.runtime, "batch": memory.batch, "date": _now()},
        )
    source: Row = {"runtime": runtime, "batch": profile.batch, "closed_form": True}
    if run.folder.memory.exists():
        report = read_json(run.folder.memory)["report"]
        source |= {"measured_networks": report["n"], "mape": report["mape"]}
    return Metric(value=predicted, kind="predicted", source=source)


def _borrow(run: Run) -> bool:
    """Take over the memory measurements of ``supernet=RUN``, which no machine changes."""
    assert run.source is not None
    if run.source.path == run.folder.path or not run.source.memory.exists():
        return False
    stored = read_json(run.source.memory)
    ours = {"batch": run.profile.batch, "runtime": run.costs.liveness.runtime}
    if any(stored.get(key) != value for key, value in ours.items()):
        return False
    write_json(run.folder.memory, stored)
    return True


def _compared(run: Run, display: Display) -> Row:
    """What is stored: the runtime whose closed form is searched with, torch eager beside it."""
    count = max(run.config.profile.n_torch, FEWEST)
    subnets, runtime = profile_subnets(run, count), run.costs.liveness.runtime
    in_torch: list[Row] = []
    own: list[Row] = []
    with display.bar("memory", len(subnets), "subnets") as bar:
        for done, subnet in enumerate(subnets, 1):
            model = build(subnet, run.num_classes)
            found = measure_peak_memory(model, run.example(run.profile))
            closed_mb = workload(subnet, run.num_classes).peak_memory_mb(run.profile.batch)
            in_torch.append(_row(subnet, closed_mb, found))
            if runtime != TORCH_EAGER.runtime and len(own) < FEWEST:
                there = _measured(run, run.profile, model)
                costs = run.costs(run.genes([subnet]))
                if there is not None:
                    own.append(_row(subnet, costs.peak_memory_mb(run.profile.batch)[0], there))
            bar.at(done)
    torch_too = _stored(TORCH_EAGER.runtime, run.profile.batch, in_torch)
    if not own:
        return torch_too
    return _stored(runtime, run.profile.batch, own) | {"beside": torch_too}


def _measured(run: Run, profile: HardwareProfile, model: VisionTransformer) -> PeakMemory | None:
    """Memory in the runtime of the run's closed form; None where that cannot tell."""
    example = run.example(profile)
    if run.costs.liveness.runtime == TORCH_EAGER.runtime:
        return measure_peak_memory(model, example)
    runtime = RUNTIMES[profile.runtime]
    if runtime.unavailable() is not None:  # it is a profile of another machine
        return None
    try:
        return runtime.peak_memory(model, example, profile)
    except UnsupportedModelError:  # said, and left out, where its latency is measured
        return None


def _row(subnet: Architecture, predicted_mb: float, measured: PeakMemory) -> Row:
    return {
        "digest": subnet.digest(),
        "predicted_mb": float(predicted_mb),
        "measured_mb": measured.peak_memory_mb,
        "measured_activation_mb": measured.peak_activation_mb,
    }


def _stored(runtime: str, batch: int, rows: Sequence[Row]) -> Row:
    found = np.array([row["predicted_mb"] for row in rows], dtype=np.float64)
    true = np.array([row["measured_mb"] for row in rows], dtype=np.float64)
    report = agreement(found, true).to_dict()
    return {"runtime": runtime, "batch": batch, "date": _now(), "report": report, "rows": rows}


def _line(stored: Mapping[str, Any]) -> str:
    """How well the closed form tells the measured peak."""
    report = stored["report"]
    return (
        f"peak memory in {stored['runtime']}, closed form against {report['n']} measured: "
        f"MAPE {report['mape']:.1%}, tau {report['kendall_tau']:.3f}"
    )


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
