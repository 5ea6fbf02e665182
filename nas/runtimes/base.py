"""What a runtime's file provides, and where runtimes are found."""

from __future__ import annotations

import gc
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from nas.hardware.profile import HardwareProfile
from search_spaces.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nas.measurement.memory import PeakMemory
    from nas.measurement.slot import Plan
    from supernet.costs import Liveness

FloatArray = npt.NDArray[np.float64]


class UnsupportedModelError(RuntimeError):
    """A runtime cannot run a model. The message is one line and says which part fails."""


class Prepared(ABC):
    """A model, loaded into a runtime, with fixed inputs. A context manager that closes itself.

    Attributes:
        clock: what ``durations_ms`` reads: ``thread_cpu`` (CPU time of the calling thread: what
            other programs take away does not count), ``wall``, ``cuda_events``, or ``device``
            (whatever a command on another machine reads).
    """

    clock: str

    @abstractmethod
    def run(self) -> None:
        """One forward pass on the fixed inputs; returns when the result is there."""

    @abstractmethod
    def output(self) -> npt.NDArray[np.float32]:
        """The result of one forward pass, (B, K)."""

    @abstractmethod
    def durations_ms(self, runs: int) -> list[float]:
        """Milliseconds of each of ``runs`` forward passes, one after another."""

    @abstractmethod
    def close(self) -> None:
        """Free what was loaded; the object is of no use afterwards."""

    def __enter__(self) -> Prepared:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Runtime(ABC):
    """What executes a model on a device.

    Attributes:
        name: what it is called on the command line (``hardware.NAME.runtime=``).
        summary: one line for ``formfinder list runtime``.
        devices: devices it can drive.
        precisions: number formats it offers.
        needs_onnx: whether models reach it through an ONNX export, so that a space for it must
            leave out operators whose card says they do not export.
        unsupported_ops: names of further operators it cannot run.
        adaptive: whether an image that keeps fewer tokens takes less time: shapes are not fixed
            before it comes.
        seconds_per_model: what measuring one small model takes, loading and compiling included:
            an estimate that is shown before the work begins.
        memory_is_portable: whether peak memory of one profile is that of every other of its
            precision and batch; not where each stands for another device.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    devices: ClassVar[tuple[str, ...]]
    precisions: ClassVar[tuple[str, ...]]
    needs_onnx: ClassVar[bool]
    unsupported_ops: ClassVar[frozenset[str]]
    adaptive: ClassVar[bool] = False
    seconds_per_model: ClassVar[float] = 0.6
    memory_is_portable: ClassVar[bool] = True

    @abstractmethod
    def unavailable(self) -> str | None:
        """Why it cannot be used here (a missing package, say), or None if it can."""

    @abstractmethod
    def prepare(self, model: nn.Module, example: Tensor, profile: HardwareProfile) -> Prepared:
        """Load ``model`` for runs on ``example``.

        Args:
            model: maps images (B, C, H, W) to logits (B, K).
            example: the images every run uses, of ``profile.input_shape``.
            profile: gives threads and precision.

        Raises:
            UnsupportedModelError: the runtime cannot run this model.
        """

    def calibrated(self, images: Tensor) -> Runtime:
        """This runtime with training images (N, C, H, W) to learn the ranges of activations from.

        Runtimes that need none return themselves. Latency does not depend on the images, so
        without them the example serves.
        """
        return self

    def plan(self, plan: Plan) -> Plan:
        """``plan`` as it suits this runtime: where each call is dear, fewer and longer slots."""
        return plan

    def peak_memory(
        self, model: nn.Module, example: Tensor, profile: HardwareProfile
    ) -> PeakMemory | None:
        """Memory of one forward pass as this runtime needs it; None where it cannot be told."""
        return None

    def liveness(self, profile: HardwareProfile) -> Liveness | None:
        """What a forward pass holds alive here, in closed form: what ``peak_memory`` will measure.

        None: nothing is known of it, and torch eager's on the processor has to do.
        """
        return None


RUNTIMES: Registry[Runtime] = Registry("runtime", "nas.runtimes")


def clock_for(threads: int) -> str:
    """The steadier clock: CPU time of the one thread that works, wall time for several.

    One thread that is never preempted needs as much CPU time as wall time, so both give the same
    latency on an idle machine; on a busy one only the former stays comparable.
    """
    return "thread_cpu" if threads == 1 else "wall"


def time_runs(run: Callable[[], None], runs: int, clock: str) -> list[float]:
    """Milliseconds of each of ``runs`` calls, read from ``clock``, garbage collection off."""
    now_ns = time.thread_time_ns if clock == "thread_cpu" else time.perf_counter_ns
    marks_ns = [0] * (2 * runs)
    collecting = gc.isenabled()
    gc.disable()
    try:
        for index in range(0, 2 * runs, 2):
            marks_ns[index] = now_ns()
            run()
            marks_ns[index + 1] = now_ns()
    finally:
        if collecting:
            gc.enable()
    pairs = zip(marks_ns[::2], marks_ns[1::2], strict=True)
    return [(end - start) / 1e6 for start, end in pairs]


def one_line(error: BaseException) -> str:
    """The first line of an error's text, short enough for a table."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
