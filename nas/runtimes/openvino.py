"""OpenVINO on the processor, fp32 and int8; the extra ``openvino``."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nas.hardware.profile import HardwareProfile
from nas.runtimes.base import RUNTIMES, Prepared, UnsupportedModelError, one_line, time_runs
from nas.runtimes.exporting import INT8_STATIC, OnnxBased, tensors_mb

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nas.measurement.memory import PeakMemory


class PreparedRequest(Prepared):
    """A compiled model's one request with its images.

    OpenVINO computes in threads of its own pool, whose CPU time nobody here can read: its clock
    is the wall's.
    """

    clock = "wall"

    def __init__(self, compiled: Any, images: npt.NDArray[np.float32]) -> None:
        import openvino

        self._images = images.copy()  # the tensor shares its memory
        self._request = compiled.create_infer_request()
        self._request.set_input_tensor(openvino.Tensor(self._images, shared_memory=True))

    def run(self) -> None:
        self._request.infer()

    def output(self) -> npt.NDArray[np.float32]:
        self.run()
        logits: npt.NDArray[np.float32] = self._request.get_output_tensor(0).data.copy()
        return logits

    def durations_ms(self, runs: int) -> list[float]:
        return time_runs(self.run, runs, self.clock)

    def close(self) -> None:
        self._request = None


@cache
def _core() -> Any:
    """One for the process, as its authors advise.

    Each brings a stack for signals. Of several, one that is freed may be left registered, and the
    next Ctrl-C would end the process.
    """
    import openvino

    return openvino.Core()


@RUNTIMES.register
class OpenVino(OnnxBased):
    """The exported graph, compiled by OpenVINO for one request at a time.

    Its int8 is that of the static ONNX file in QDQ format; a dynamically quantised file would be
    slower than fp32 here.
    """

    name = "openvino"
    summary = "OpenVINO on the processor"
    devices = ("cpu",)
    precisions = ("fp32", INT8_STATIC)
    unsupported_ops = frozenset()
    seconds_per_model = 1.5

    def unavailable(self) -> str | None:
        if importlib.util.find_spec("openvino") is None:
            return "OpenVINO is not installed: pip install 'formfinder[openvino]'"
        return None

    def prepare(self, model: nn.Module, example: Tensor, profile: HardwareProfile) -> Prepared:
        content, core = self.export(model, example, profile.precision), _core()
        try:
            compiled = core.compile_model(
                core.read_model(content, b""), "CPU", _options(profile.threads)
            )
            return PreparedRequest(compiled, example.detach().numpy())
        except RuntimeError as error:
            raise UnsupportedModelError(f"openvino: {one_line(error)}") from error

    def peak_memory(
        self, model: nn.Module, example: Tensor, profile: HardwareProfile
    ) -> PeakMemory | None:
        """Growth of a fresh process; None below 0.2 MB, where pages count for much.

        The weights are the file's tensors. The reordered copies that OpenVINO makes of them when it
        compiles depend on the processor, and are left out.
        """
        from nas.measurement.memory import PeakMemory
        from nas.measurement.openvino_memory import openvino_activation_mb

        content = self.export(model, example, profile.precision)
        activation_mb = openvino_activation_mb(content, example.detach().numpy(), profile.threads)
        if activation_mb is None:
            return None
        return PeakMemory(
            weights_mb=tensors_mb(content, indices=False),
            peak_activation_mb=activation_mb,
            runtime=self.name,
            batch=len(example),
        )


def _options(threads: int) -> dict[str, Any]:
    return {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # On processors with AMX or bf16 it would round to bf16 unasked.
        "INFERENCE_PRECISION_HINT": "f32",
    }
