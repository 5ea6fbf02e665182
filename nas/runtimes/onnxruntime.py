"""ONNX Runtime on the processor, fp32 and int8."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nas.hardware.profile import HardwareProfile
from nas.runtimes.base import (
    RUNTIMES,
    Prepared,
    UnsupportedModelError,
    clock_for,
    one_line,
    time_runs,
)
from nas.runtimes.exporting import ONNX_PRECISIONS, OnnxBased, tensors_mb

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nas.measurement.memory import PeakMemory
    from supernet.costs import Liveness


class PreparedSession(Prepared):
    """An inference session with its images."""

    def __init__(self, session: Any, images: npt.NDArray[np.float32], threads: int) -> None:
        self.clock = clock_for(threads)
        self._session = session
        self._feed = {session.get_inputs()[0].name: images}
        # Bound once: copying inputs and outputs in Python costs as much as a whole small network.
        import onnxruntime

        self._binding = session.io_binding()
        self._bound = [
            onnxruntime.OrtValue.ortvalue_from_numpy(images),
            onnxruntime.OrtValue.ortvalue_from_numpy(self.output()),
        ]
        self._binding.bind_ortvalue_input(session.get_inputs()[0].name, self._bound[0])
        self._binding.bind_ortvalue_output(session.get_outputs()[0].name, self._bound[1])

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)

    def output(self) -> npt.NDArray[np.float32]:
        logits: npt.NDArray[np.float32] = self._session.run(None, self._feed)[0]
        return logits

    def durations_ms(self, runs: int) -> list[float]:
        return time_runs(self.run, runs, self.clock)

    def close(self) -> None:
        self._session = self._binding = None
        self._bound, self._feed = [], {}


def open_session(model_bytes: bytes, threads: int) -> Any:
    """An ``onnxruntime.InferenceSession`` on the processor.

    Args:
        model_bytes: a serialised ONNX model.
        threads: threads within an operator; operators follow each other, as on a device that
            serves one request at a time.

    Raises:
        UnsupportedModelError: ONNX Runtime refuses the model.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # warnings tell of graph clean-ups nobody can act on
    try:
        return onnxruntime.InferenceSession(
            model_bytes, options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its exception classes are private
        raise UnsupportedModelError(f"onnxruntime: {one_line(error)}") from error


@RUNTIMES.register
class OnnxRuntime(OnnxBased):
    """The exported graph, fused and run by ONNX Runtime."""

    name = "onnxruntime"
    summary = "ONNX Runtime on the processor"
    devices = ("cpu",)
    precisions = ONNX_PRECISIONS
    unsupported_ops = frozenset()

    def unavailable(self) -> str | None:
        if importlib.util.find_spec("onnxruntime") is None:
            return "the package onnxruntime is not installed"
        return None

    def prepare(self, model: nn.Module, example: Tensor, profile: HardwareProfile) -> Prepared:
        content = self.export(model, example, profile.precision)
        session = open_session(content, profile.threads)
        return PreparedSession(session, example.detach().numpy(), profile.threads)

    def peak_memory(
        self, model: nn.Module, example: Tensor, profile: HardwareProfile
    ) -> PeakMemory | None:
        """Growth of a fresh process; None below 4 MB, where that says little.

        The weights are the file's tensors: of an int8 model they take a quarter.
        """
        from nas.measurement.memory import PeakMemory
        from nas.measurement.onnx_memory import onnx_activation_mb

        content = self.export(model, example, profile.precision)
        activation_mb = onnx_activation_mb(content, example.detach().numpy(), profile.threads)
        if activation_mb is None:
            return None
        return PeakMemory(
            weights_mb=tensors_mb(content),
            peak_activation_mb=activation_mb,
            runtime=self.name,
            batch=len(example),
        )

    def liveness(self, profile: HardwareProfile) -> Liveness | None:
        """The same activations in fp32 and int8, and weights as they are stored."""
        from nas.measurement.onnx_int8 import Int8Liveness
        from nas.measurement.onnx_liveness import onnx_peak_live
        from nas.measurement.onnx_memory import CLAIMED_MB
        from supernet.costs import Liveness

        kind = Liveness if profile.precision == "fp32" else Int8Liveness
        return kind(self.name, onnx_peak_live, told_from_mb=CLAIMED_MB)
