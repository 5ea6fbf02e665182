"""The contract every runtime keeps, and what is special about one."""

from __future__ import annotations

import gc
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.hardware.profile import HardwareConfig, HardwareProfile
from nas.runtimes.base import RUNTIMES, UnsupportedModelError, clock_for, time_runs
from nas.runtimes.roofline import Described
from nas.runtimes.torch_eager import torch_threads

ROOT = Path(__file__).resolve().parents[2]
BENCH = f"{sys.executable} {ROOT}/examples/bench_onnx.py {{model}} {{runs}} {{threads}} {{images}}"


class TinyNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, 8, 4, 4)
        self.mlp = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.embed(images).flatten(2).transpose(1, 2)
        logits: Tensor = self.head(self.drop(x + self.mlp(x)).mean(1))
        return logits


OWN_CLOCKS = ("wall", "cuda_events", "device")
COMPILING = ("torch_compile", "cuda_compile")
ATOL = {"fp32": 1e-4, "bf16": 0.05, "fp16": 0.02, "int8": 0.05, "int8_static": 0.05}


def profile(runtime: str, threads: int = 1, precision: str = "fp32") -> HardwareProfile:
    config = HardwareConfig(
        device=RUNTIMES[runtime].devices[0],
        runtime=runtime,
        precision=precision,
        threads=threads,
        batch=2,
    )
    made = HardwareProfile.of("test", config, (8, 8), 1)
    return replace(made, command=BENCH) if runtime == "command" else made


def slow_where_compiled(name: str) -> Any:
    """Compiling takes seconds, whatever the model."""
    return pytest.param(name, marks=[pytest.mark.slow] if name in COMPILING else [])


RUNNING = [name for name in RUNTIMES.names() if not isinstance(RUNTIMES[name], Described)]


@pytest.fixture(params=[slow_where_compiled(name) for name in RUNNING])
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    reason = RUNTIMES[name].unavailable()
    if reason:
        pytest.skip(reason)
    return name


def test_runs_give_the_module_s_logits_in_eval_mode(runtime: str) -> None:
    """In every precision; where numbers are coarse, the class that wins stays the same."""
    torch.manual_seed(0)
    model, images = TinyNet(), torch.randn(2, 1, 8, 8)
    model.head.weight.data *= 5  # a decided net: its best logit stands apart
    with torch.inference_mode():
        expected = model.eval()(images).numpy()
    for precision in RUNTIMES[runtime].precisions:
        wanted = profile(runtime, precision=precision)
        with RUNTIMES[runtime].prepare(model, images, wanted) as prepared:
            prepared.run()
            found = prepared.output()
        allowed = ATOL[precision] * max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(found, expected, atol=allowed)
        np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))


@pytest.mark.parametrize("threads", [1, 2])
def test_each_run_is_timed_by_the_clock_it_names(runtime: str, threads: int) -> None:
    images = torch.randn(2, 1, 8, 8)
    before = torch.get_num_threads()
    with RUNTIMES[runtime].prepare(TinyNet(), images, profile(runtime, threads)) as prepared:
        durations_ms = prepared.durations_ms(7)
        assert prepared.clock in (clock_for(threads), *OWN_CLOCKS)
    assert len(durations_ms) == 7
    assert all(value > 0 for value in durations_ms)
    assert torch.get_num_threads() == before


def test_a_prepared_model_does_not_follow_the_example(runtime: str) -> None:
    """Many are held at once: each keeps its own inputs and results."""
    images = [torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8)]
    model = TinyNet()
    prepared = [RUNTIMES[runtime].prepare(model, x, profile(runtime)) for x in images]
    first = prepared[0].output()
    assert not np.allclose(prepared[1].output(), first)
    np.testing.assert_array_equal(prepared[0].output(), first)
    for one in prepared:
        one.close()


def test_every_runtime_declares_itself(runtime: str) -> None:
    member = RUNTIMES[runtime]
    assert member.summary
    assert member.devices
    assert "fp32" in member.precisions
    assert isinstance(member.unsupported_ops, frozenset)


class NotExportable(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return torch.linalg.eigvals(images).real.flatten(1)


@pytest.mark.filterwarnings("ignore:Casting complex values:UserWarning")
def test_a_model_onnx_cannot_express_is_refused_in_one_line() -> None:
    with pytest.raises(UnsupportedModelError, match=r"ONNX export: .*eigvals") as caught:
        RUNTIMES["onnxruntime"].prepare(
            NotExportable(), torch.randn(2, 1, 8, 8), profile("onnxruntime")
        )
    assert "\n" not in str(caught.value)


def test_threads_are_restored_when_a_model_fails() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        with torch_threads(before + 1):
            assert torch.get_num_threads() == before + 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.get_num_threads() == before


def test_the_garbage_collector_waits_while_time_is_taken() -> None:
    collecting: list[bool] = []
    durations_ms = time_runs(lambda: collecting.append(gc.isenabled()), 3, "wall")
    assert collecting == [False] * 3
    assert len(durations_ms) == 3
    assert gc.isenabled()


def test_the_clock_of_one_thread_does_not_count_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = iter([0, 2_000_000, 5_000_000, 8_000_000])
    monkeypatch.setattr("time.thread_time_ns", lambda: next(marks))
    assert time_runs(lambda: None, 2, "thread_cpu") == [2.0, 3.0]
    assert clock_for(1) == "thread_cpu"
    assert clock_for(2) == "wall"


INTERRUPTED = """
import os, signal
import torch
from tests.nas_tests.test_runtimes import TinyNet, profile
from nas.runtimes.base import RUNTIMES

ours = profile("openvino")
models = [RUNTIMES["openvino"].prepare(TinyNet(), torch.randn(ours.input_shape), ours)]
for _ in range(3):
    models.append(RUNTIMES["openvino"].prepare(TinyNet(), torch.randn(ours.input_shape), ours))
    models.pop(0).close()
models.pop().close()
heard = []
signal.signal(signal.SIGINT, lambda *of: heard.append(of))
os.kill(os.getpid(), signal.SIGINT)
print("heard", len(heard))
"""


@pytest.mark.slow
def test_ctrl_c_is_heard_behind_models_in_openvino() -> None:
    pytest.importorskip("openvino")
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "heard 1\n"
