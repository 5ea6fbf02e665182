"""A written file, run as its user would run it: does it answer as the model, how fast is it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.export.format import Call, Format, Images
from nas.runtimes.base import clock_for, time_runs

TOLERANCE = 1e-4
AGREEMENT = 0.98
TIES = 0.01
CHUNK = 256
WARM_UP, RUNS = 20, 200


class ExportMismatchError(RuntimeError):
    """A written file does not answer as the model it was made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What files are compared with.

    Attributes:
        images_NCHW: the normalised validation images.
        labels_N: theirs.
        logits_NK: of the torch model.
        batch: images of a call on the profile.
        threads: of the profile.
        chooses: whether a reduction compares scores of tokens. Where two are equal but for
            rounding, a runtime may take the other one; 1 % of the images may differ for that.
    """

    images_NCHW: Images
    labels_N: npt.NDArray[np.int64]
    logits_NK: Images
    batch: int
    threads: int
    chooses: bool

    @property
    def accuracy(self) -> float:
        """Of the torch model, on val."""
        return float((self.logits_NK.argmax(1) == self.labels_N).mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One format's figures.

    Attributes:
        files: what was written, relative to the exports' folder.
        runtime: what ran it.
        size_mb: of its files, 10^6 bytes.
        max_difference: largest difference of a logit from torch, on all of val.
        images_off: validation images with a logit that differs by more than allowed.
        agreement: share of validation images with the same answer as torch.
        val_accuracy: share of right answers.
        accuracy_drop: how much lower that is than torch's.
        latency_ms: median of a call; quartiles, batch, threads, clock and runs beside it.
    """

    files: tuple[str, ...]
    runtime: str
    size_mb: float
    max_difference: float
    images_off: int
    agreement: float
    val_accuracy: float
    accuracy_drop: float
    latency_ms: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "files": list(self.files)}


def check(fmt: Format, folder: Path, reference: Reference) -> Checked:
    """Run a written format on all validation images, and time it.

    Raises:
        ExportMismatchError: a logit is off by more than 1e-4 (relative to the largest logit where
            that is above 1), or, with 8 bits, more than 2 % of the answers are others.
    """
    call = fmt.open(folder, reference.threads)
    batch = reference.batch if fmt.fixed_batch else CHUNK
    found_NK = answers(call, reference.images_NCHW, batch, padded=fmt.fixed_batch)
    if found_NK.shape != reference.logits_NK.shape:
        raise ExportMismatchError(
            f"{fmt.name}: logits of shape {found_NK.shape}, torch {reference.logits_NK.shape}"
        )
    off_N = np.abs(found_NK - reference.logits_NK).max(axis=1)
    agreement = float((found_NK.argmax(1) == reference.logits_NK.argmax(1)).mean())
    allowed = TOLERANCE * max(1.0, float(np.abs(reference.logits_NK).max()))
    images_off = int((~(off_N <= allowed)).sum())  # counts NaN as well
    if fmt.exact and images_off > len(off_N) * TIES * reference.chooses:
        raise ExportMismatchError(
            f"{fmt.name}: differs from torch by {off_N.max():.2g}; allowed is {allowed:.2g}"
        )
    if agreement < AGREEMENT:
        raise ExportMismatchError(
            f"{fmt.name}: {agreement:.1%} of the answers are torch's; allowed is {AGREEMENT:.0%}"
        )
    accuracy = float((found_NK.argmax(1) == reference.labels_N).mean())
    return Checked(
        files=fmt.files,
        runtime=fmt.runtime,
        size_mb=sum((folder / name).stat().st_size for name in fmt.files) / 1e6,
        max_difference=float(off_N.max()),
        images_off=images_off,
        agreement=agreement,
        val_accuracy=accuracy,
        accuracy_drop=reference.accuracy - accuracy,
        latency_ms=_timed(call, fmt, reference),
    )


def answers(call: Call, images_NCHW: Images, batch: int, *, padded: bool = False) -> Images:
    """Logits ``(N, K)``, batch by batch; the last is filled up where the batch is fixed."""
    found = []
    for start in range(0, len(images_NCHW), batch):
        images = images_NCHW[start : start + batch]
        missing = batch - len(images) if padded else 0
        whole = np.concatenate([images, images[:1].repeat(missing, axis=0)]) if missing else images
        found.append(call(whole)[: len(images)])
    return np.concatenate(found)


def _timed(call: Call, fmt: Format, reference: Reference) -> dict[str, Any]:
    images = np.ascontiguousarray(reference.images_NCHW[: reference.batch])
    clock = fmt.clock or clock_for(reference.threads)

    def run() -> None:
        call(images)

    time_runs(run, WARM_UP, clock)
    durations = np.array(time_runs(run, RUNS, clock))
    low, middle, high = np.quantile(durations, (0.25, 0.5, 0.75))
    return {
        "median": float(middle),
        "low": float(low),
        "high": float(high),
        "batch": reference.batch,
        "threads": reference.threads,
        "clock": clock,
        "runs": RUNS,
    }
