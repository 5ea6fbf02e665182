"""A user-given command line that measures one ONNX model on a device Python cannot reach."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nas.hardware.calling import CallError, call, fill, split
from nas.hardware.profile import HardwareProfile
from nas.measurement.slot import MeasurementError, Plan
from nas.runtimes.base import RUNTIMES, Prepared, UnsupportedModelError
from nas.runtimes.exporting import ONNX_PRECISIONS, OnnxBased
from search_spaces.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nas.measurement.memory import PeakMemory

WAITS_S = (1.0, 5.0)  # before the second and the third try: a board may be rebooting


class ModelError(RuntimeError):
    """The device answers, but not for this model."""


class Caller:
    """Calls the command of one profile, and judges what it means when there is no answer.

    Args:
        profile: with the command.
        folder: where models may be put.
    """

    def __init__(self, profile: HardwareProfile, folder: Path) -> None:
        assert profile.command is not None, "check_profile refuses it"
        self._profile = profile
        self._field = f"hardware.{profile.name}.command"
        self._words = split(self._field, profile.command)
        self._on_stdin = "{model}" not in profile.command
        self._folder = folder

    def ask(self, model: Path, images: Path, runs: int) -> dict[str, Any]:
        """The answer for one model, after up to three tries.

        Raises:
            UserError: the device is lost, or prints rubbish for a model that is known to be good.
            ModelError: it answers for that one, not for ``model``.
        """
        failure = self._failure(model, images, runs)
        if isinstance(failure, dict):
            return failure
        for wait_s in WAITS_S:
            time.sleep(wait_s)
            failure = self._failure(model, images, runs)
            if isinstance(failure, dict):
                return failure
        probe = self._failure(*self._probe(), 1)
        if isinstance(probe, dict):
            raise ModelError(f"{len(WAITS_S) + 1} calls: {failure}; other models run")
        raise UserError(self._lost(probe)) from probe

    def _failure(self, model: Path, images: Path, runs: int) -> dict[str, Any] | CallError:
        """The answer of one call, or why there is none."""
        values = {
            "model": model,
            "images": images,
            "runs": runs,
            "threads": self._profile.threads,
            "batch": self._profile.batch,
        }
        stdin = model if self._on_stdin else None
        words = fill(self._words, values)
        try:
            return call(self._field, words, self._profile.timeout_s, _is_answer, stdin)
        except CallError as failure:
            return failure

    def _probe(self) -> tuple[Path, Path]:
        """A small model that runs wherever transformers do, with its images."""
        import torch

        from nas.export.onnx import trace_to_onnx
        from nas.measurement.reference import ReferenceModel

        model, images = self._folder / "probe.onnx", self._folder / "probe.npy"
        example = torch.zeros(self._profile.input_shape)
        reference = ReferenceModel(self._profile.channels, self._profile.image_size)
        model.write_bytes(trace_to_onnx(reference, example))
        np.save(images, example.numpy())
        return model, images

    def _lost(self, failure: CallError) -> str:
        if failure.printed:
            wanted = '{"latencies_ms": [1.9, 2.0]}'
            return f"{self._field}: wanted is a line of JSON like {wanted}, but {failure}"
        return (
            f"{self._field}: the device is lost, {len(WAITS_S) + 2} calls failed, the last: "
            f"{failure}; what was measured is kept, the same command goes on from there"
        )


class PreparedCommand(Prepared):
    """A model file with its images; each series of runs is one call of the command."""

    clock = "device"

    def __init__(self, content: bytes, images: Tensor, profile: HardwareProfile) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="formfinder-command-")
        path = Path(self._folder.name)
        self._files = path / "model.onnx", path / "images.npy"
        self._files[0].write_bytes(content)
        np.save(self._files[1], images.detach().numpy())
        self._caller = Caller(profile, path)
        try:
            self._first = self._ask(1)
        except BaseException:
            self.close()
            raise

    @property
    def peak_memory_mb(self) -> float | None:
        """What the command says about memory, in 10^6 bytes."""
        value = self._first.get("peak_memory_mb")
        return None if value is None else float(value)

    def run(self) -> None:
        self.durations_ms(1)

    def output(self) -> npt.NDArray[np.float32]:
        if "logits" not in self._first:
            raise UnsupportedModelError("the command prints no logits: it only measures")
        return np.array(self._first["logits"], dtype=np.float32)

    def durations_ms(self, runs: int) -> list[float]:
        try:
            return [float(value) for value in self._ask(runs)["latencies_ms"]]
        except (ModelError, UnsupportedModelError) as error:  # once it ran: this series is lost
            raise MeasurementError(str(error)) from error

    def close(self) -> None:
        self._folder.cleanup()

    def _ask(self, runs: int) -> Mapping[str, Any]:
        answer = self._caller.ask(*self._files, runs)
        if "unsupported" in answer:
            raise UnsupportedModelError(f"command: {' '.join(str(answer['unsupported']).split())}")
        return answer


def _is_answer(found: Mapping[str, Any]) -> bool:
    if "unsupported" in found:
        return True
    latencies, memory = found.get("latencies_ms"), found.get("peak_memory_mb")
    return (
        isinstance(latencies, list)
        and len(latencies) > 0
        and all(map(_is_number, latencies))
        and (memory is None or _is_number(memory))
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@RUNTIMES.register
class CommandRuntime(OnnxBased):
    """Whatever ``hardware.NAME.command`` does with an ONNX file and a number of runs.

    The command loads the model, runs it a few times to warm up, then ``{runs}`` times, and prints
    one line of JSON: ``{"latencies_ms": [...]}``, or ``{"unsupported": "why"}`` for a model that
    the device cannot run. As a call may take seconds, a model gets four: one to see that it runs
    (with one run), two series, and one more where a series is noisy.
    """

    name = "command"
    summary = "a command line of yours, for devices elsewhere"
    devices = ("command",)
    precisions = ONNX_PRECISIONS
    unsupported_ops = frozenset()
    seconds_per_model = 10.0
    memory_is_portable = False

    def unavailable(self) -> str | None:
        return None

    def prepare(self, model: nn.Module, example: Tensor, profile: HardwareProfile) -> Prepared:
        content = self.export(model, example, profile.precision)
        try:
            return PreparedCommand(content, example, profile)
        except ModelError as error:
            raise UnsupportedModelError(f"command: {error}") from error

    def plan(self, plan: Plan) -> Plan:
        return replace(plan, rounds=2, warmup_runs=0, rewarm_runs=0, attempts=2, block=4)

    def peak_memory(
        self, model: nn.Module, example: Tensor, profile: HardwareProfile
    ) -> PeakMemory | None:
        """What the command says as ``peak_memory_mb``, whatever it counts; None where nothing."""
        from nas.measurement.memory import PeakMemory, weights_mb

        with self.prepare(model, example, profile) as prepared:
            assert isinstance(prepared, PreparedCommand)
            peak_mb = prepared.peak_memory_mb
        if peak_mb is None:
            return None
        weights = weights_mb(model)
        return PeakMemory(
            weights_mb=weights,
            peak_activation_mb=max(peak_mb - weights, 0.0),
            runtime=self.name,
            batch=len(example),
        )
