"""One model in all formats: written, run, compared and timed, before anything is in its place."""

from __future__ import annotations

import datetime
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nas.display import Display
from nas.export.card import model_card
from nas.export.checking import Checked, ExportMismatchError, Reference, answers, check
from nas.export.format import Format, Images, Material, module_call
from nas.export.formats import FORMATS
from nas.run import Run
from nas.run_folder import read_json, write_json, write_text
from nas.version import code_version
from search_spaces.errors import UserError, writing
from supernet.extract import VisionTransformer

SCHEMA_VERSION = 1
RECORD = "exports.json"
CARD = "README.md"
CALIBRATION_IMAGES = 256
CALIBRATION_SEED = 7


def export_formats(
    run: Run,
    model: VisionTransformer,
    best: Mapping[str, Any],
    folder: Path,
    display: Display,
    names: Sequence[str] = (),
) -> dict[str, Any]:
    """Write a model in every format that fits, with ``exports.json`` and a model card.

    Args:
        run: the run it is of.
        model: in eval mode.
        best: the content of its ``best.json``.
        folder: where to; what lies there of the same model is kept, of another one replaced.
        display: where to say what was written.
        names: formats; none: all of them.

    Returns:
        The content of ``exports.json``.

    Raises:
        UserError: a format that was asked for by name cannot be written, or does not answer as the
            model (one that was not asked for is left out, with the reason), or the disk is full.
    """
    chosen = [FORMATS[name] for name in names] or list(FORMATS)
    skipped = {}
    for fmt in chosen:
        reason = fmt.unavailable() or fmt.refuses(model.architecture)
        if reason is not None and names:
            raise UserError(f"export.formats={fmt.name}: {reason}")
        if reason is not None:
            skipped[fmt.name] = reason
    record = _kept(folder, best)
    record |= {"skipped": {**skipped}}
    material, reference = _material(run, model, best), _reference(run, model)
    staging = folder.with_name(f".{folder.name}.tmp")
    for fmt in chosen:
        if fmt.name in skipped:
            display.line(_left_out(fmt, skipped[fmt.name]))
            continue
        try:
            checked = _written(fmt, material, reference, folder, staging)
        except ExportMismatchError as error:
            if names:
                raise UserError(f"export.formats={error}") from error
            record["skipped"][fmt.name] = str(error)
            record["formats"].pop(fmt.name, None)
            display.line(_left_out(fmt, str(error)))
            continue
        record["formats"][fmt.name] = checked.to_dict()
        display.line(_line(fmt, checked))
    write_json(folder / RECORD, record)
    write_text(folder / CARD, model_card(best, record))
    return record


def _written(
    fmt: Format, material: Material, reference: Reference, folder: Path, staging: Path
) -> Checked:
    """Write into a folder of its own, check there, and only then move the files."""
    with writing(folder / fmt.files[0]):
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        try:
            fmt.write(material, staging)
            checked = check(fmt, staging, reference)
            for name in fmt.files:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (staging / name).chmod(0o644)
                (staging / name).replace(folder / name)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return checked


def _kept(folder: Path, best: Mapping[str, Any]) -> dict[str, Any]:
    """The record so far, if it is of this model; else a new one in an emptied folder."""
    try:
        record = read_json(folder / RECORD)
        known = record["schema_version"] == SCHEMA_VERSION
        if known and record["weights"] == best["weights"]["hash"]:
            return record
    except (UserError, KeyError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    with writing(folder):
        folder.mkdir(parents=True)
    return {
        "schema_version": SCHEMA_VERSION,
        "formfinder_version": code_version(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "digest": best["digest"],
        "weights": best["weights"]["hash"],
        "profile": dict(best["profile"]),
        "formats": {},
        "skipped": {},
    }


def _material(run: Run, model: VisionTransformer, best: Mapping[str, Any]) -> Material:
    batch = run.profile.batch
    train = run.dataset.train.images_NCHW
    order_N = np.random.default_rng(CALIBRATION_SEED).permutation(len(train))
    count = min(CALIBRATION_IMAGES, len(train)) // batch * batch or batch
    chosen = np.resize(order_N, count)
    images = run.dataset.transform.normalise(train[chosen]).numpy()
    return Material(
        model=model,
        best=best,
        example_BCHW=images[:batch],
        calibration=tuple(images[start : start + batch] for start in range(0, count, batch)),
        threads=run.profile.threads,
    )


def _reference(run: Run, model: VisionTransformer) -> Reference:
    val, threads = run.dataset.val, run.profile.threads
    images: Images = run.dataset.transform.normalise(val.images_NCHW).numpy()
    return Reference(
        images_NCHW=images,
        labels_N=val.labels_N.numpy(),
        logits_NK=answers(module_call(model, threads), images, 256),
        batch=run.profile.batch,
        threads=threads,
        chooses=any(block.reduction.op != "none" for _, block in model.architecture.blocks()),
    )


def _left_out(fmt: Format, reason: str) -> str:
    """One line; the whole reason is in the record and on the card."""
    return f"{fmt.name:17} " + textwrap.shorten(f"left out: {reason}", 60, placeholder=" …")


def _line(fmt: Format, checked: Checked) -> str:
    drop = f"{100 * checked.accuracy_drop:+.2f} pt" if checked.accuracy_drop else "same"
    return (
        f"{fmt.name:17} {checked.size_mb:7.3f} MB {checked.latency_ms['median']:8.3f} ms  "
        f"Δ {checked.max_difference:.0e}  agrees {checked.agreement:6.1%}  "
    ).rstrip() + ("" if fmt.exact else f"  val {drop}")
