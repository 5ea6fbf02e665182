"""Step 3: measure sampled subnets on the hardware, and learn to predict what was not measured."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nas.display import Display
from nas.hardware.described import as_described
from nas.hardware.device import DEVICES
from nas.hardware.machine import Machine
from nas.hardware.profile import HardwareProfile
from nas.measurement.file import MeasurementFile
from nas.measurement.portable import HardwareFile
from nas.measurement.records import Measurement
from nas.predictors.fit import fit_predictor
from nas.predictors.predictor import LatencyPredictor
from nas.roofline.predictor import EstimatedPredictor
from nas.run import Run
from nas.run_folder import read_json, write_json
from nas.runtimes.base import RUNTIMES
from nas.steps.memory import check_memory
from nas.steps.on_device import leave_out_failed
from nas.steps.subnets import FEWEST, features, measure_subnets
from search_spaces.errors import writing

TORCH = "torch_eager"


def fit_profiles(run: Run, display: Display) -> None:
    """Measure and fit every profile of the run, its torch twin, and peak memory."""
    for one in run.searches:
        device = as_described(one.profile)
        if device is not None:
            display.prose(f"{one.profile.key()}: estimated from the spec sheet, nothing to measure")
            continue
        _fit_with_twin(one, display)
    if all(as_described(profile) is not None for profile in run.profiles):
        return
    check_memory(run, display)


def _fit_with_twin(run: Run, display: Display) -> None:
    wanted: dict[str, tuple[HardwareProfile, int]] = {}
    for profile in run.profiles:
        count = run.config.profile.n_runtime
        if profile.runtime == TORCH:
            count = max(count, run.config.profile.n_torch)
        elif run.config.profile.n_torch > 0 and _has_twin(profile) and not run.away:
            twin = replace(profile, runtime=TORCH)
            wanted[twin.key()] = (twin, run.config.profile.n_torch)
        wanted[profile.key()] = (profile, count)
    for profile, count in wanted.values():
        _fit_profile(run, profile, count, display)


def _has_twin(profile: HardwareProfile) -> bool:
    """Whether torch eager runs on the same device with the same numbers."""
    torch_eager = RUNTIMES[TORCH]
    return profile.device in torch_eager.devices and profile.precision in torch_eager.precisions


def load_predictor(run: Run, profile: HardwareProfile) -> LatencyPredictor:
    """The fitted predictor of a profile.

    Raises:
        UserError: the profile was not measured in this run, or its file is damaged.
    """
    if as_described(profile) is not None:
        return EstimatedPredictor(profile)
    stored = read_json(run.folder.predictor(profile.key()))
    if tuple(stored.get("feature_names", ())) != run.costs.feature_names:
        # Written when other features were learned from: its measurements are as good as ever.
        file = MeasurementFile(run.folder.measurements(profile.key()), profile.key())
        return fit(run, file.measurements())
    return LatencyPredictor.from_dict(stored)


def _fit_profile(run: Run, profile: HardwareProfile, count: int, display: Display) -> None:
    path = run.folder.predictor(profile.key())
    if not path.exists() and run.hardware_file is not None:
        _take_over(run, run.hardware_file, display)
    elif not path.exists() and run.config.transfer_from is None:
        borrow(run, profile, display)
    if path.exists():
        predictor = load_predictor(run, profile)
        known = len(predictor.data.latency_ms)
        asked = read_json(path).get("measuring", {}).get("asked", known)
        # The study's values are this predictor's: with another one it would be another study.
        searched = run.folder.study.exists() and profile in run.profiles
        if searched and asked < count:
            display.line(
                f"{profile.key()}: the search of this run began with {known} subnets, they are "
                f"kept; to measure {count}, give the run another name=..."
            )
        if searched or asked >= count:
            report_predictor(predictor, display)
            return
    base = base_predictor(run, profile, display)
    if base is not None:
        count = run.config.samples
    fewest = count if profile.runtime == TORCH else FEWEST
    measured = measure_subnets(run, profile, count, fewest, display)
    if profile in run.profiles:
        leave_out_failed(run, profile, display)
    predictor = fit(run, measured.rows, base)
    asked = {"asked": measured.asked, "stopped_by": measured.reason}
    write_json(path, {**predictor.to_dict(), "measuring": asked})
    _share(run, profile, predictor)
    report_predictor(predictor, display)


def borrow(run: Run, profile: HardwareProfile, display: Display) -> None:
    """Take over what ``supernet=RUN`` has measured of a profile, if that was on this machine."""
    assert run.source is not None
    theirs, ours = (folder.measurements(profile.key()) for folder in (run.source, run.folder))
    predictor = run.source.predictor(profile.key())
    if run.source.path == run.folder.path or ours.exists() or not predictor.exists():
        return
    rows = MeasurementFile(theirs, profile.key()).measurements()
    here = DEVICES[profile.device].machine_for(profile)
    wanted = {"processor": here.processor, "versions": here.versions}
    if not rows or any({k: row.machine.get(k) for k in wanted} != wanted for row in rows):
        return
    display.line(f"{profile.key()}: {len(rows)} subnets as measured for {run.source.path}")
    for old, new in ((theirs, ours), (predictor, run.folder.predictor(profile.key()))):
        with writing(new):
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(old, new)


def fit(
    run: Run, rows: Sequence[Measurement], base: LatencyPredictor | None = None
) -> LatencyPredictor:
    """A predictor from measured rows, on the features of the cost model."""
    costs, seed = features(run, rows), run.config.seed
    return fit_predictor(rows, costs.features_BF, costs.feature_names, seed=seed, base=base)


def base_predictor(run: Run, profile: HardwareProfile, display: Display) -> LatencyPredictor | None:
    """The predictor of ``transfer_from``, to be adapted; None where none is named."""
    name = run.config.transfer_from
    if name is None or profile not in run.profiles:
        return None
    file = HardwareFile.load(Path(name))
    display.line(f"{profile.key()}: adapted from {len(file.rows)} subnets of {name}")
    return fit(run, file.rows)


def _take_over(run: Run, file: HardwareFile, display: Display) -> None:
    """Learn from the measurements that ``hardware_file`` holds."""
    key = file.profile.key()
    file.copy_to(run.folder.measurements(key))
    leave_out_failed(run, file.profile, display)
    predictor = fit(run, file.rows)
    asked = {"asked": sys.maxsize, "stopped_by": "hardware_file"}
    write_json(run.folder.predictor(key), {**predictor.to_dict(), "measuring": asked})
    where = "this machine" if not run.away else f"{file.machine.processor}, not this machine"
    display.line(f"{len(file.rows)} subnets as measured on {where}")


def _share(run: Run, profile: HardwareProfile, predictor: LatencyPredictor) -> None:
    """Write the profile as a file that others can use."""
    found = MeasurementFile(run.folder.measurements(profile.key()), profile.key())
    rows = tuple(found.measurements())
    HardwareFile(
        profile=profile,
        machine=Machine(**rows[0].machine),
        space=run.space.to_dict(),
        num_classes=run.num_classes,
        rows=rows,
        failures=tuple(found.failures()),
        report=predictor.report(),
    ).save(run.folder.hardware_file(profile.key()))


def report_predictor(predictor: LatencyPredictor, display: Display) -> None:
    """Held-out error beside the measurement's own repeatability."""
    found, repeat = predictor.held_out, predictor.data.repeat
    display.line(predictor.data.profile)
    columns = ("", "MAPE", "Spearman", "tau")
    rows = [
        (
            f"  predictor ({predictor.data.family}), cross-validated, n={found.n}",
            f"{found.mape:.1%}",
            f"{found.spearman:.3f}",
            f"{found.kendall_tau:.3f}",
        ),
        (
            "  the measurement's own repeat",
            f"{repeat.mape:.1%}",
            f"{repeat.spearman:.3f}",
            f"{repeat.kendall_tau:.3f}",
        ),
    ]
    display.table("", columns, rows)
