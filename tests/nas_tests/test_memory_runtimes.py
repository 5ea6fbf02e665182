"""Peak memory as runtimes other than torch eager need it, against sums done by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nas.export.onnx import trace_to_onnx
from nas.hardware.profile import HardwareConfig, HardwareProfile
from nas.measurement.memory import peak_memory_on
from nas.measurement.onnx_memory import onnx_activation_mb
from nas.runtimes.base import RUNTIMES

ROW = 1024 * 4  # bytes of 1024 numbers
linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the system does not tell a process's peak"
)


def mlp(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(1024, width), nn.ReLU(), nn.Linear(width, 1024))


def profile(**changes: object) -> HardwareProfile:
    config = HardwareConfig(**changes)  # type: ignore[arg-type]
    return HardwareProfile.of("cpu", config, (1, 1024), 1024)


@linux
@pytest.mark.parametrize("width", [2048, pytest.param(3072, marks=pytest.mark.slow)])
def test_a_chain_in_onnx_runtime_holds_its_input_hidden_and_output(width: int) -> None:
    """The weights do not count, the activation function works in place."""
    tokens = torch.randn(1024, 1024)
    found = onnx_activation_mb(trace_to_onnx(mlp(width), tokens), tokens.numpy(), threads=1)
    assert found == pytest.approx(1024 * (2 * ROW + 4 * width) / 1e6, rel=0.02)


@linux
def test_the_figure_names_the_runtime_and_the_batch() -> None:
    tokens = torch.randn(1024, 1024)
    memory = peak_memory_on(profile(), mlp(2048), tokens)
    assert memory.runtime == "onnxruntime"
    assert memory.batch == 1024
    assert memory.weights_mb == pytest.approx((2 * 1024 * 2048 + 3072) * 4 / 1e6, rel=1e-3)


@linux
@pytest.mark.slow
def test_int8_weights_take_a_quarter() -> None:
    tokens = torch.randn(1024, 1024)
    memory = peak_memory_on(profile(precision="int8"), mlp(2048), tokens)
    assert memory.weights_mb == pytest.approx(2 * 1024 * 2048 / 1e6, rel=0.02)


def test_little_memory_is_not_claimed_and_torch_answers() -> None:
    tokens = torch.randn(4, 1024)
    model = mlp(64)
    assert onnx_activation_mb(trace_to_onnx(model, tokens), tokens.numpy(), threads=1) is None
    assert peak_memory_on(profile(), model, tokens).runtime == "torch_eager"


def test_a_device_behind_a_command_may_tell_its_memory(tmp_path: Path) -> None:
    model = mlp(8)
    for answer, runtime in (('"peak_memory_mb": 9.5, ', "command"), ("", "torch_eager")):
        text = f"""echo '{{{answer}"latencies_ms": [1.0]}}'"""
        wanted = profile(device="command", runtime="command", command=text)
        memory = peak_memory_on(wanted, model, torch.randn(4, 1024))
        assert memory.runtime == runtime
        assert (abs(memory.peak_memory_mb - 9.5) < 1e-9) == (runtime == "command")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_on_a_gpu_the_chain_needs_the_same(precision: str) -> None:
    reason = RUNTIMES["cuda_eager"].unavailable()
    if reason:
        pytest.skip(reason)
    wanted = profile(device="cuda", runtime="cuda_eager", precision=precision)
    memory = peak_memory_on(wanted, mlp(2048), torch.randn(1024, 1024))
    size = 4 if precision == "fp32" else 2
    # Eagerly the activation function has an output of its own.
    expected = size * 1024 * (1024 + 2 * 2048) / 1e6
    assert memory.peak_activation_mb == pytest.approx(expected, rel=0.05)
    assert memory.weights_mb == pytest.approx(size * (2 * 1024 * 2048 + 3072) / 1e6)
    assert np.isfinite(memory.peak_memory_mb)


@linux
@pytest.mark.parametrize("tokens", [64, pytest.param(1024, marks=pytest.mark.slow)])
def test_a_chain_in_openvino_holds_its_input_hidden_and_output(tokens: int) -> None:
    pytest.importorskip("openvino")
    images = torch.randn(tokens, 256)
    chain = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 256))
    memory = peak_memory_on(profile(runtime="openvino"), chain, images)
    assert memory.runtime == "openvino"
    assert memory.peak_activation_mb == pytest.approx(4e-6 * tokens * 1024, rel=0.05)
    assert memory.weights_mb == pytest.approx(4e-6 * (2 * 256 * 512 + 768), rel=0.01)


@pytest.mark.slow
def test_a_compiled_chain_holds_its_input_and_hidden_beside_the_one_that_is_made() -> None:
    reason = RUNTIMES["torch_compile"].unavailable()
    if reason:
        pytest.skip(reason)
    model = nn.Sequential(mlp(2048), mlp(3072))
    memory = peak_memory_on(
        profile(runtime="torch_compile", threads=2), model, torch.randn(64, 1024)
    )
    assert memory.runtime == "torch_compile"
    # Images, what the first chain made, the second's hidden tensor, in which its ReLU works.
    assert memory.peak_activation_mb == pytest.approx(4e-6 * 64 * (1024 + 1024 + 3072), rel=0.02)
