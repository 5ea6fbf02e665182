"""Where the models of a run are measured, and with what: shared by profiling and verifying."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nas.display import Display
from nas.executors.executor import ExecutorOptions
from nas.hardware.profile import HardwareProfile
from nas.measurement.block import Item
from nas.measurement.culprits import failed_ops
from nas.measurement.protocol import measure_models
from nas.measurement.records import Measurement
from nas.measurement.remote import sessions_for
from nas.run import Run

_CALIBRATION_IMAGES = 128


def measure_for(
    run: Run, profile: HardwareProfile, items: Sequence[Item], path: Path, **options: Any
) -> list[Measurement]:
    """``measure_models`` on the cluster's node that is labelled as the device, or here.

    Args:
        run: knows the cluster (``executor=ray executor.address=...``) and the training images
            that int8 runtimes learn ranges from.
        profile: where and how the models run.
        items: as of ``measure_models``.
        path: the file of the profile.
        options: the other arguments of ``measure_models``.

    Raises:
        UserError: as ``measure_models``, or the cluster cannot be joined.
    """
    images = run.dataset.train.images_NCHW[:_CALIBRATION_IMAGES]
    executor = run.config.executor
    joining = ExecutorOptions(address=executor.address, threads=profile.threads)
    with sessions_for(
        profile, executor.name, joining, run.folder.path, run.num_classes
    ) as sessions:
        return measure_models(
            items,
            profile,
            path,
            calibration=run.dataset.transform.normalise(images),
            sessions=sessions,
            **options,
        )


def leave_out_failed(run: Run, profile: HardwareProfile, display: Display) -> None:
    """Take operators that the profile's runtime could not run out of what is searched."""
    failed = failed_ops(run.folder.measurements(profile.key()), profile.key())
    for op, reason in failed.items():
        display.line(f"{profile.key()}: {op} is left out of the search: {reason}")
    if failed:
        run.offer_what_runs()
