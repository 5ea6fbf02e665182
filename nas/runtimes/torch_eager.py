"""PyTorch as it is, operator by operator, in fp32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nas.hardware.profile import HardwareProfile
from nas.runtimes.base import RUNTIMES, Prepared, Runtime, clock_for, time_runs

if TYPE_CHECKING:
    from torch import Tensor, nn


class PreparedModule(Prepared):
    """A module in eval mode with its images."""

    def __init__(self, model: nn.Module, example: Tensor, threads: int) -> None:
        self.clock = clock_for(threads)
        self._model: nn.Module | None = model.eval()
        self._call: Callable[[Tensor], Any] = model
        self._example = example
        self._threads = threads

    def run(self) -> None:
        self._forward(1)

    def output(self) -> npt.NDArray[np.float32]:
        import torch

        assert self._model is not None, "closed"
        with torch.inference_mode(), torch_threads(self._threads):
            logits: Tensor = self._call(self._example)
        return logits.float().numpy()

    def durations_ms(self, runs: int) -> list[float]:
        return self._forward(runs)

    def close(self) -> None:
        self._model = None
        del self._call

    def _forward(self, runs: int) -> list[float]:
        import torch

        assert self._model is not None, "closed"
        call, example = self._call, self._example
        with torch.inference_mode(), torch_threads(self._threads):
            return time_runs(lambda: call(example), runs, self.clock)


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let torch use ``threads`` threads, and put the former number back."""
    import torch

    former = torch.get_num_threads()
    if former != threads:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if former != threads:
            torch.set_num_threads(former)


@RUNTIMES.register
class TorchEager(Runtime):
    """The model as Python runs it: dispatch of each operator counts."""

    name = "torch_eager"
    summary = "PyTorch, operator by operator"
    devices = ("cpu",)
    precisions = ("fp32",)
    needs_onnx = False
    unsupported_ops = frozenset()
    adaptive = True

    def unavailable(self) -> str | None:
        return None

    def prepare(self, model: nn.Module, example: Tensor, profile: HardwareProfile) -> Prepared:
        return PreparedModule(model, example, profile.threads)
