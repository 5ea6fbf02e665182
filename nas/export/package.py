"""Step 6: the chosen member as files, with its one look at the test images.

The only place that opens the test split. The result is kept with the run under the hash of the
exported weights, so the same model is never tested twice.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from nas.display import Display
from nas.evaluation import EvaluationKey, EvaluationStore
from nas.evaluator import logits
from nas.export.best import SCHEMA_VERSION, check_best, read_best
from nas.export.onnx import export_onnx
from nas.front import Front, Member, Metric
from nas.run import Run
from nas.run_folder import write_json
from nas.steps.by_image import predicted_by_image
from nas.steps.verifying import accuracy_metric
from nas.version import code_version
from search_spaces.errors import UserError, writing
from supernet.extract import VisionTransformer
from supernet.training.checkpoint import save_tensors, weights_hash

MORE = ("balanced_accuracy", "macro_f1")
"""Metrics beside accuracy, of val and test."""


def export_member(
    run: Run,
    front: Front,
    member: Member,
    model: VisionTransformer,
    target: Path,
    display: Display,
    passes: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Write ``best.json``, ``.safetensors`` and ``.onnx`` of one front member.

    Args:
        run: the run.
        front: the verified front.
        member: which member.
        model: its standalone model in eval mode, fine-tuned if ``passes`` says so.
        target: the JSON file; the others lie beside it.
        display: where to say what was written.
        passes: what was done to the inherited weights, in order.

    Returns:
        The content of the JSON file. A file that already holds this model is read instead.

    Raises:
        UserError: a file cannot be written.
    """
    weights = weights_hash(model.state_dict())
    if target.exists() and _same(target, weights, front):
        display.line(f"{target} was exported before")
        return read_best(target)
    tensors, onnx = target.with_suffix(".safetensors"), target.with_suffix(".onnx")
    save_tensors(tensors, model.state_dict())
    with writing(onnx):
        report = export_onnx(
            model,
            run.example(run.profile),
            onnx,
            metadata={"digest": member.digest},
            dynamic_batch=True,
        )
    metrics = dict(member.metrics)
    val = _val_metrics(run, model)
    if passes:
        metrics |= predicted_by_image(run, model)
    else:
        val["val_accuracy"] = metrics["accuracy"]
    del metrics["accuracy"]
    metrics = {**_test_metrics(run, model, weights), **val, **metrics}
    data = {
        "schema_version": SCHEMA_VERSION,
        "formfinder_version": code_version(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "digest": member.digest,
        "architecture": member.architecture.to_dict(),
        "task": {"name": run.task.name, "classes": list(run.dataset.class_names)},
        "transform": run.dataset.transform.to_dict(),
        "passes": list(passes),
        "weights": {"file": tensors.name, "hash": weights},
        "onnx": {
            "file": onnx.name,
            "opset": report.opset,
            "dynamic_batch": report.dynamic_batch,
            "max_difference": report.max_difference,
        },
        "supernet": {"weights": front.weights, "space": run.space.digest()},
        "profile": dict(front.profile),
        "metrics": {name: metric.to_dict() for name, metric in metrics.items()},
        "layers": member.to_dict()["layers"],
        "repairs": [],
        "counting_rule": front.counting_rule,
    }
    check_best(data, target)
    write_json(target, data)
    return data


def _same(target: Path, weights: str, front: Front) -> bool:
    try:
        data = read_best(target)
    except UserError:  # damaged or of another version: it is written anew
        return False
    files = [target.parent / data["weights"]["file"], target.parent / data["onnx"]["file"]]
    same = data["weights"]["hash"] == weights and data["profile"]["key"] == front.profile["key"]
    # Earlier versions fixed the batch of the ONNX file.
    return same and data["onnx"].get("dynamic_batch") is True and all(f.exists() for f in files)


def _val_metrics(run: Run, model: torch.nn.Module) -> dict[str, Metric]:
    val = run.dataset.val
    found_NK = logits(model, run.dataset.transform.normalise(val.images_NCHW))
    right_N = run.task.hits(found_NK, val.labels_N)
    values = run.task.metrics(found_NK, val.labels_N)
    return _metrics(run, "val", int(right_N.sum()), len(right_N), values)


def _test_metrics(run: Run, model: torch.nn.Module, weights: str) -> dict[str, Metric]:
    """On the test images: looked up if this model was tested before."""
    key = EvaluationKey(
        weights=weights,
        architecture="exported",
        metric="correct",
        split=f"test:{run.dataset.digest}",
    )
    store, count = EvaluationStore(run.folder.evaluations), run.dataset.test_count
    known = store.get(key)
    if known is not None:
        # Runs of earlier versions stored the hits alone; the images are not looked at again.
        metrics = _metrics(run, "test", round(known.value), count, known.provenance)
        date = {"date": known.provenance.get("date")}
        return {
            name: replace(metric, source={**metric.source, **date})
            for name, metric in metrics.items()
        }
    test = run.dataset.open_test(weights)
    found_NK = logits(model, run.dataset.transform.normalise(test.images_NCHW))
    right = int(run.task.hits(found_NK, test.labels_N).sum())
    values = run.task.metrics(found_NK, test.labels_N)
    metrics = _metrics(run, "test", right, count, values)
    date = {"date": metrics["test_accuracy"].source["date"]}
    store.put(key, float(right), {**date, **{name: values[name] for name in MORE}})
    return metrics


def _metrics(
    run: Run, split: str, right: int, count: int, values: Mapping[str, Any]
) -> dict[str, Metric]:
    """Accuracy with its interval, and the metrics that see rare classes."""
    accuracy = accuracy_metric([True] * right + [False] * (count - right), split, run)
    more = {
        f"{split}_{name}": Metric(
            value=values[name], kind="measured", n=count, source=accuracy.source
        )
        for name in MORE
        if name in values
    }
    return {f"{split}_accuracy": accuracy, **more}
