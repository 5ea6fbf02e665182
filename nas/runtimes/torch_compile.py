"""PyTorch compiled by Inductor to C++, in fp32."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nas.hardware.profile import HardwareProfile
from nas.runtimes.base import RUNTIMES, Prepared, Runtime, UnsupportedModelError, one_line
from nas.runtimes.torch_eager import PreparedModule, torch_threads

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nas.measurement.memory import PeakMemory

_COMPILERS = ("g++", "clang++", "c++")


class PreparedCompiled(PreparedModule):
    """A compiled module with its images."""

    def __init__(self, model: nn.Module, compiled: Compiled, example: Tensor, threads: int) -> None:
        super().__init__(model, example, threads)
        self._compiled = compiled
        self._call = compiled.call

    def peak_activation_mb(self) -> float:
        """Most bytes of torch's allocator during one pass, the input included, in 10^6 bytes."""
        from nas.measurement.memory import peak_of_calls_mb

        return peak_of_calls_mb(self._call, self._example)

    def close(self) -> None:
        super().close()
        self._compiled.forget()


class Compiled:
    """``torch.compile`` of one model, under a code object of its own.

    Dynamo keeps what it compiled beside the *code* of the function, not the module. All models
    of a space share one ``forward``: after eight of them it would silently run eagerly, and
    before that every call would try the guards of the others. So each model is called through a
    function whose code is a copy.

    Args:
        model: in eval mode.
        options: of ``torch.compile``.
    """

    def __init__(self, model: nn.Module, **options: Any) -> None:
        import torch

        def forward(images: Tensor) -> Tensor:
            logits: Tensor = model(images)
            return logits

        # A copy that equals its original is another object, and Dynamo goes by identity.
        forward.__code__ = forward.__code__.replace(co_name=f"forward_{id(model)}")
        self._code = forward.__code__
        self.call: Callable[[Tensor], Tensor] = torch.compile(forward, dynamic=False, **options)

    def forget(self) -> None:
        """Free what was compiled."""
        import torch

        torch._dynamo.eval_frame.remove_from_cache(self._code)


def compile_now(compiled: Compiled, example: Tensor, name: str) -> None:
    """Compile by running once, outside of any timing.

    One process compiles: a pool of them would stay alive beside the measurement.

    Raises:
        UnsupportedModelError: the compiler refuses the model.
    """
    import torch
    import torch._inductor.config

    try:
        with torch.inference_mode(), torch._inductor.config.patch(compile_threads=1):
            compiled.call(example)
    except Exception as error:  # Dynamo, Inductor and the C++ compiler each have their own
        compiled.forget()
        raise UnsupportedModelError(f"{name}: {one_line(error)}") from error


@RUNTIMES.register
class TorchCompile(Runtime):
    """Kernels fused and compiled by Inductor with its default options; products stay the library's.

    Compiling takes 10 to 60 s a model on one core, so a profile of 60 models takes most of an
    hour; what was compiled once is found again in Inductor's cache.
    """

    name = "torch_compile"
    summary = "PyTorch, compiled by Inductor"
    devices = ("cpu",)
    precisions = ("fp32",)
    needs_onnx = False
    unsupported_ops = frozenset()
    seconds_per_model = 30.0

    def unavailable(self) -> str | None:
        if not any(map(shutil.which, _COMPILERS)):
            return f"torch.compile needs a C++ compiler: none of {', '.join(_COMPILERS)} is there"
        return None

    def prepare(self, model: nn.Module, example: Tensor, profile: HardwareProfile) -> Prepared:
        compiled = Compiled(model.eval())
        with torch_threads(profile.threads):  # the number is compiled in
            compile_now(compiled, example, self.name)
        return PreparedCompiled(model, compiled, example, profile.threads)

    def peak_memory(
        self, model: nn.Module, example: Tensor, profile: HardwareProfile
    ) -> PeakMemory | None:
        """Weights, and the allocator's events over one warm pass, as of torch eager.

        Compiled code takes every buffer from torch's allocator. It is compiled for one thread:
        each more would have blocks of its own, and Dynamo compiles anew for another number.
        """
        from nas.measurement.memory import PeakMemory, weights_mb

        with self.prepare(model, example, replace(profile, threads=1)) as prepared:
            assert isinstance(prepared, PreparedCompiled)
            activation_mb = prepared.peak_activation_mb()
        return PeakMemory(
            weights_mb=weights_mb(model),
            peak_activation_mb=activation_mb,
            runtime=self.name,
            batch=len(example),
        )
