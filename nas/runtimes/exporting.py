"""What the runtimes that read ONNX share: the export, in the precision of the profile."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Self

from nas.runtimes.base import Runtime, UnsupportedModelError, one_line

if TYPE_CHECKING:
    from torch import Tensor, nn

INT8, INT8_STATIC = "int8", "int8_static"
ONNX_PRECISIONS = ("fp32", INT8, INT8_STATIC)
_CALIBRATION_BATCHES = 16


class OnnxBased(Runtime):
    """A runtime that is handed ONNX.

    ``int8`` computes the range of each activation in every call, ``int8_static`` learns it once,
    from training images where it is given some (``calibrated``), else from the example.
    """

    needs_onnx = True
    _images: Tensor | None = None

    def calibrated(self, images: Tensor) -> Self:
        made = copy.copy(self)
        made._images = images
        return made

    def export(self, model: nn.Module, example: Tensor, precision: str) -> bytes:
        """``model`` as ONNX at the example's shape.

        Raises:
            UnsupportedModelError: it does not export, or cannot be quantised.
        """
        from nas.export.onnx import trace_to_onnx

        try:
            content = trace_to_onnx(model, example)
        except Exception as error:  # the exporter raises whatever the operator at fault raises
            raise UnsupportedModelError(f"ONNX export: {one_line(error)}") from error
        if precision == "fp32":
            return content
        try:
            return self._quantised(content, example, precision)
        except Exception as error:  # as above
            raise UnsupportedModelError(f"quantisation: {one_line(error)}") from error

    def _quantised(self, content: bytes, example: Tensor, precision: str) -> bytes:
        from nas.export.quantise import quantise_dynamic, quantise_static

        if precision == INT8:
            return quantise_dynamic(content)
        images, size = self._images, len(example)
        if images is None or len(images) < size:
            images = example
        count = min(len(images) // size, _CALIBRATION_BATCHES)
        parts = [images[index * size : (index + 1) * size] for index in range(count)]
        return quantise_static(content, [part.detach().numpy() for part in parts])


def tensors_mb(content: bytes, *, indices: bool = True) -> float:
    """Bytes of the tensors that an ONNX model stores, in 10^6.

    Args:
        content: a serialised ONNX model.
        indices: count those of positions too, which grow with the batch where tokens are merged.
    """
    import numpy as np
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(content).graph
    constants = [
        attribute.t
        for node in graph.node
        for attribute in node.attribute
        if attribute.HasField("t")
    ]
    arrays = map(numpy_helper.to_array, [*graph.initializer, *constants])
    return sum(array.nbytes for array in arrays if indices or array.dtype != np.int64) / 1e6
