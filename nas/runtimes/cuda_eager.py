"""PyTorch on a CUDA device, operator by operator, timed by the device's own events."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nas.hardware.profile import HardwareProfile
from nas.runtimes.base import RUNTIMES, Prepared, Runtime, UnsupportedModelError, one_line

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from nas.measurement.memory import PeakMemory
    from search_spaces.workload import Count, Kernel
    from supernet.costs import Liveness

PRECISIONS = ("fp32", "bf16", "fp16")


class PreparedOnCuda(Prepared):
    """A module and its images on the device.

    Args:
        model: on the device, in eval mode, in its precision.
        call: what runs it.
        example: images there, in the same precision.
        forget: called when it is closed.
    """

    clock = "cuda_events"

    def __init__(
        self,
        model: nn.Module,
        call: Callable[[Tensor], Any],
        example: Tensor,
        forget: Callable[[], None] = lambda: None,
    ) -> None:
        self._model: nn.Module | None = model
        self._call: Callable[[Tensor], Any] | None = call
        self._example: Tensor | None = example
        self._forget = forget

    def run(self) -> None:
        import torch

        self._forward()
        torch.cuda.synchronize()

    def output(self) -> npt.NDArray[np.float32]:
        logits: npt.NDArray[np.float32] = self._forward().float().cpu().numpy()
        return logits

    def durations_ms(self, runs: int) -> list[float]:
        """From the moment the idle device is given a forward pass to the end of its last kernel.

        Each run waits for the one before: kernels that are launched more slowly than they run
        leave gaps, and these count as they do for a single request.
        """
        import torch

        event: Callable[..., Any] = torch.cuda.Event  # untyped in torch
        pairs = [(event(enable_timing=True), event(enable_timing=True)) for _ in range(runs)]
        torch.cuda.synchronize()
        for start, end in pairs:
            start.record()
            self._forward()
            end.record()
            end.synchronize()
        return [float(start.elapsed_time(end)) for start, end in pairs]

    def peak_activation_mb(self) -> float:
        """Most bytes of torch's allocator during one pass, the input included, in 10^6 bytes."""
        import torch

        assert self._example is not None, "closed"
        self.run()  # libraries take their workspaces on the first run
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        self.run()
        own = torch.cuda.max_memory_allocated() - before
        return (own + self._example.numel() * self._example.element_size()) / 1e6

    def close(self) -> None:
        import torch

        self._forget()
        self._model = self._call = self._example = None
        torch.cuda.empty_cache()

    def _forward(self) -> Tensor:
        import torch

        assert self._call is not None, "closed"
        assert self._example is not None
        with torch.inference_mode(), exact_fp32():
            logits: Tensor = self._call(self._example)
        return logits


@contextmanager
def exact_fp32() -> Iterator[None]:
    """Keep convolutions in fp32 from using TF32, as products do by default."""
    import torch

    with torch.backends.cudnn.flags(
        enabled=torch.backends.cudnn.enabled,
        benchmark=torch.backends.cudnn.benchmark,
        deterministic=torch.backends.cudnn.deterministic,
        allow_tf32=False,
    ):
        yield


def on_cuda(model: nn.Module, example: Tensor, precision: str) -> tuple[nn.Module, Tensor]:
    """A copy of a model, and images, on the device in a precision.

    Raises:
        UnsupportedModelError: they do not fit into its memory.
    """
    import torch

    dtype = dtype_of(precision)
    try:
        moved = copy.deepcopy(model).eval().to("cuda", dtype)  # the caller keeps using its own
        return moved, example.to("cuda", dtype)
    except torch.OutOfMemoryError as error:
        raise UnsupportedModelError(f"cuda: {one_line(error)}") from error


def dtype_of(precision: str) -> torch.dtype:
    """torch's type of a precision."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


class CudaRuntime(Runtime):
    """What runtimes of CUDA devices share."""

    devices = ("cuda",)
    precisions = PRECISIONS
    needs_onnx = False
    unsupported_ops = frozenset()
    adaptive = True

    def unavailable(self) -> str | None:
        import torch

        return None if torch.cuda.is_available() else "torch sees no CUDA device"

    def peak_memory(
        self, model: nn.Module, example: Tensor, profile: HardwareProfile
    ) -> PeakMemory | None:
        """Weights, and ``torch.cuda.max_memory_allocated`` over one warm pass."""
        from nas.measurement.memory import PeakMemory, weights_mb

        with self.prepare(model, example, profile) as prepared:
            assert isinstance(prepared, PreparedOnCuda)
            activation_mb = prepared.peak_activation_mb()
        return PeakMemory(
            weights_mb=weights_mb(model) * dtype_of(profile.precision).itemsize / 4,
            peak_activation_mb=activation_mb,
            runtime=self.name,
            batch=len(example),
        )


@RUNTIMES.register
class CudaEager(CudaRuntime):
    """The model as Python runs it; small models are bound by the launches of their kernels."""

    name = "cuda_eager"
    summary = "PyTorch on a CUDA device, operator by operator"

    def prepare(self, model: nn.Module, example: Tensor, profile: HardwareProfile) -> Prepared:
        import torch

        moved, images = on_cuda(model, example, profile.precision)
        prepared = PreparedOnCuda(moved, moved, images)
        try:
            prepared.run()
        except torch.AcceleratorError:  # the device failed, not the model
            raise
        except RuntimeError as error:  # no kernel for it, or not enough memory
            prepared.close()
            raise UnsupportedModelError(f"cuda_eager: {one_line(error)}") from error
        return prepared

    def liveness(self, profile: HardwareProfile) -> Liveness | None:
        """The same tensors as on a processor, without the scratch space of its kernels."""
        from search_spaces.workload import peak_live
        from supernet.costs import Liveness

        def peaks(kernels: Sequence[Kernel]) -> tuple[Count, Count]:
            _, each = peak_live(kernels)
            return each, each

        return Liveness(self.name, peaks, element_bytes=dtype_of(profile.precision).itemsize)
