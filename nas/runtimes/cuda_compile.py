"""PyTorch on a CUDA device, compiled by Inductor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.hardware.profile import HardwareProfile
from nas.runtimes.base import RUNTIMES, Prepared
from nas.runtimes.cuda_eager import CudaRuntime, PreparedOnCuda, exact_fp32, on_cuda
from nas.runtimes.torch_compile import Compiled, compile_now

if TYPE_CHECKING:
    from torch import Tensor, nn


@RUNTIMES.register
class CudaCompile(CudaRuntime):
    """Kernels fused by Inductor into Triton, without CUDA graphs: the default of torch.compile."""

    name = "cuda_compile"
    summary = "PyTorch on a CUDA device, compiled by Inductor"
    seconds_per_model = 20.0

    def prepare(self, model: nn.Module, example: Tensor, profile: HardwareProfile) -> Prepared:
        moved, images = on_cuda(model, example, profile.precision)
        compiled = Compiled(moved)
        with exact_fp32():
            compile_now(compiled, images, self.name)
        return PreparedOnCuda(moved, compiled.call, images, compiled.forget)
