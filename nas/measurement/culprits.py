"""Which operator it is that a runtime cannot run, told from what failed and what did not."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nas.measurement.file import MeasurementFile
from nas.measurement.records import Failure, Measurement
from search_spaces.architecture import NONE, Architecture


def culprits(failures: Iterable[Failure], measured: Iterable[Measurement]) -> dict[str, str]:
    """Operators that stand in what failed and in nothing that was measured, with a reason.

    Several are blamed where none was ever seen without the other: leaving out too much costs
    some candidates, too little a search full of failures. A failure whose operators all run
    elsewhere blames none: there it was the size.
    """
    run = set[str]().union(*(_ops(Architecture.from_dict(row.architecture)) for row in measured))
    blamed: dict[str, str] = {}
    for row in failures:
        for op in sorted(_ops(Architecture.from_dict(row.architecture)) - run):
            blamed.setdefault(op, row.reason)
    return blamed


def failed_ops(path: Path, profile: str) -> dict[str, str]:
    """``culprits`` of a measurement file; none where nothing was measured yet.

    Raises:
        UserError: the file holds rows of another profile.
    """
    file = MeasurementFile(path, profile)
    failures, measured = file.failures(), file.measurements()
    # Where nothing runs at all, it is not the operators.
    return culprits(failures, measured) if measured else {}


def _ops(architecture: Architecture) -> set[str]:
    """Attention types and reductions by name; the absence of one cannot fail."""
    settings = [s for _, block in architecture.blocks() for s in (block.attention, block.reduction)]
    return {setting.op for setting in settings} - {NONE.op}
