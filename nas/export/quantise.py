"""ONNX models with 8-bit weights: what a vision transformer needs of ONNX Runtime's quantiser.

Only products with weights are quantised. Products of two activations (attention maps), norms,
softmax, sums and convolutions (the patch embedding sees the raw image) stay in fp32: they hold
little of the work and lose most of the accuracy.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

OPS = ("Gemm", "MatMul")

# Weights take 7 of the 8 bits: without VNNI, AVX2 adds pairs of products in 16 bits, and full
# range would overflow there. So the file gives the same answers on every processor.
_WEIGHTS = {"per_channel": True, "reduce_range": True}


def quantise_dynamic(model_bytes: bytes) -> bytes:
    """Weights as int8, one scale an output channel; activations by their range in each call.

    Args:
        model_bytes: a serialised ONNX model in fp32.

    Returns:
        A serialised ONNX model with the same inputs and outputs.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _workshop() as folder:
        model = _prepared(model_bytes, folder)
        quantize_dynamic(
            model,
            folder / "int8.onnx",
            op_types_to_quantize=list(OPS),
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_products_of_activations(model),
            extra_options={"MatMulConstBOnly": True},
            **_WEIGHTS,
        )
        return (folder / "int8.onnx").read_bytes()


def quantise_static(
    model_bytes: bytes,
    calibration_images: Iterable[npt.NDArray[np.float32]],
) -> bytes:
    """Weights as int8, activations as uint8 with the ranges that the calibration images gave.

    Args:
        model_bytes: a serialised ONNX model in fp32.
        calibration_images: normalised batches ``(B, C, H, W)``, of the batch that the model takes;
            from the training images: what is calibrated on cannot be validated on.

    Returns:
        A serialised ONNX model with the same inputs and outputs, in QDQ format: each quantised
        tensor is followed by the scale that reads it, which other runtimes understand as well.

    Raises:
        ValueError: there are no calibration images.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    batches = list(calibration_images)
    if not batches:
        raise ValueError("calibration needs at least one batch of images")
    with _workshop() as folder:
        model = _prepared(model_bytes, folder)
        quantize_static(
            model,
            folder / "int8.onnx",
            _reader(model.graph.input[0].name, batches),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(OPS),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_products_of_activations(model),
            **_WEIGHTS,
        )
        return (folder / "int8.onnx").read_bytes()


def _prepared(model_bytes: bytes, folder: Path) -> Any:
    """Shapes inferred, constants folded, every node named: what the quantiser counts on."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    (folder / "fp32.onnx").write_bytes(model_bytes)  # handed in memory, it loses its weights
    # Its symbolic inference stumbles over Expand, and weights need none.
    quant_pre_process(folder / "fp32.onnx", str(folder / "prepared.onnx"), skip_symbolic_shape=True)
    model = onnx.load(folder / "prepared.onnx")
    # Shapes of tensors that the quantiser will turn round, a classifier's weights say.
    del model.graph.value_info[:]
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    return model


def _products_of_activations(model: Any) -> list[str]:
    weights = {tensor.name for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in OPS and node.input[1] not in weights
    ]


def _reader(name: str, batches: list[npt.NDArray[np.float32]]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # its package is untyped
        def __init__(self) -> None:
            self.waiting: Iterator[npt.NDArray[np.float32]] = iter(batches)

        def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
            images = next(self.waiting, None)
            return None if images is None else {name: images}

    return Reader()


@contextmanager
def _workshop() -> Iterator[Path]:
    """A folder for the quantiser's files, which it hands from step to step; no advice of its."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it logs its advice to the root logger
    try:
        with tempfile.TemporaryDirectory(prefix="formfinder-int8-") as name:
            yield Path(name)
    finally:
        logger.setLevel(level)
