"""ONNX files: the checked one that is shipped, and a quick trace that is only timed."""

from __future__ import annotations

import importlib.metadata
import io
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

OPSET = 20  # the first with Gelu as one operator
CHECKED_BATCHES = (1, 3, 8)
INPUT_NAME = "images"
OUTPUT_NAME = "logits"


class ExportError(RuntimeError):
    """The exported graph does not compute what the module computes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxReport:
    """What was written, and how well it agrees.

    Attributes:
        path: the file.
        size_mb: its size in 10^6 bytes.
        opset: version of the standard operators.
        dynamic_batch: whether it takes any batch size.
        max_difference: largest absolute difference of a logit between torch and ONNX Runtime.
    """

    path: Path
    size_mb: float
    opset: int
    dynamic_batch: bool
    max_difference: float


def export_onnx(
    model: nn.Module,
    example: Tensor,
    path: Path,
    *,
    metadata: Mapping[str, str] | None = None,
    dynamic_batch: bool = False,
    tolerance: float = 1e-4,
) -> OnnxReport:
    """Write ``model`` as a checked ONNX file, or nothing at all.

    Args:
        model: maps images (B, C, H, W) to logits (B, K); exported in eval mode.
        example: images; their shape is the exported one.
        path: the file to write, replaced at once when everything has been verified.
        metadata: stored in the file's ``metadata_props``, e.g. ``{"architecture": digest}``; the
            version of Formfinder is added.
        dynamic_batch: leave the batch size open.
        tolerance: largest difference from torch, relative to the largest logit where that is
            above 1.

    Raises:
        ExportError: ONNX Runtime and torch differ by more.
        OSError: the file cannot be written.
    """
    proto = _export(model.eval(), example, dynamic_batch)
    for key, value in {**(metadata or {}), "formfinder_version": _version()}.items():
        proto.metadata_props.add(key=key, value=value)
    content = _checked_bytes(proto)
    batches = [example]
    if dynamic_batch:
        batches = [_of_batch(example, size) for size in CHECKED_BATCHES]
    difference = max(_difference(model, content, images, tolerance) for images in batches)
    _write_atomically(path, content)
    return OnnxReport(
        path=path,
        size_mb=len(content) / 1e6,
        opset=OPSET,
        dynamic_batch=dynamic_batch,
        max_difference=difference,
    )


def _of_batch(example: Tensor, size: int) -> Tensor:
    """``size`` different images of the example's shape and scale."""
    import torch

    turns = [torch.roll(example, turn, dims=-1) for turn in range(-(-size // len(example)))]
    return torch.cat(turns)[:size]


def trace_to_onnx(model: nn.Module, example: Tensor) -> bytes:
    """An ONNX model for timing, at the example's shape, by the TorchScript exporter.

    It takes 0.1 s where ``export_onnx`` takes 1.5 s, and ONNX Runtime is equally fast with both.
    """
    import torch

    buffer: Any = io.BytesIO()  # a file-like target works, though the stubs know paths only
    with _quiet_tracing(), torch.inference_mode(False), torch.no_grad():
        torch.onnx.export(
            model.eval(),
            (example,),
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
        )
    content: bytes = buffer.getvalue()
    return content


@contextmanager
def _quiet_tracing() -> Iterator[None]:
    from torch.jit._trace import TracerWarning  # ``torch.jit`` offers it, untyped

    with warnings.catch_warnings():
        # Its successor is fifteen times slower; we know that this one is the old one.
        warnings.filterwarnings(
            "ignore", r"You are using the legacy TorchScript-based", DeprecationWarning
        )
        # Raised by the exporter about a helper of its own.
        warnings.filterwarnings(
            "ignore", r"The feature will be removed\.", DeprecationWarning, r"torch\.onnx\."
        )
        # Shapes become constants: right here, as the trace only ever sees the example's shape.
        warnings.filterwarnings("ignore", category=TracerWarning)
        yield


def _export(model: nn.Module, example: Tensor, dynamic_batch: bool) -> Any:
    import torch

    shapes = None
    if dynamic_batch:
        # torch.export takes a batch of one for a constant, so it is shown at least two.
        example = example if len(example) > 1 else example.repeat(2, 1, 1, 1)
        shapes = ({0: torch.export.Dim("batch", min=1)},)
    with torch.inference_mode(False), torch.no_grad():
        program = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes=shapes,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _checked_bytes(proto: Any) -> bytes:
    import onnx

    content: bytes = proto.SerializeToString()
    onnx.checker.check_model(content, full_check=True)
    return content


def _difference(model: nn.Module, content: bytes, images: Tensor, tolerance: float) -> float:
    import torch

    from nas.runtimes.onnxruntime import open_session

    session = open_session(content, threads=1)
    found = session.run(None, {INPUT_NAME: images.detach().numpy()})[0]
    with torch.inference_mode():
        expected = model(images).numpy()
    if found.shape != expected.shape:
        raise ExportError(f"ONNX gives logits of shape {found.shape}, torch {expected.shape}")
    difference = float(np.abs(found - expected).max())
    allowed = tolerance * max(1.0, float(np.abs(expected).max()))
    if not difference <= allowed:  # also refuses NaN
        raise ExportError(
            f"ONNX Runtime differs from torch by {difference:.2g} at batch {len(images)}; "
            f"allowed is {allowed:.2g}"
        )
    return difference


def _write_atomically(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp makes files only their owner can read
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _version() -> str:
    try:
        return importlib.metadata.version("formfinder")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
