"""Closed forms of peak memory in runtimes other than torch eager, by hand and by measuring."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from nas.export.onnx import trace_to_onnx
from nas.hardware.profile import HardwareConfig, HardwareProfile
from nas.measurement.memory import costs_on, peak_memory_on
from nas.measurement.onnx_liveness import onnx_peak_live
from nas.measurement.onnx_memory import onnx_activation_mb
from nas.runtimes.base import RUNTIMES
from nas.runtimes.exporting import tensors_mb
from nas.steps.memory import member_memory
from search_spaces.space import SearchSpace
from supernet.costs import SpaceCosts
from supernet.extract import build_model
from supernet.operators import all_cards
from supernet.workload import workload

SPACE = {
    "image_size": [16, 16],
    "channels": 1,
    "head_dim": 16,
    "patch_size": [1, 2],
    "stages": [
        {
            "width": [32, 64],
            "depth": [1, 2, 3],
            "heads": [2, 4],
            "mlp_ratio": [1, 4],
            "attention": [
                "softmax",
                {"op": "window", "size": 2},
                {"op": "hilo", "alpha": 0.5, "window": 2},
                "separable",
                "none",
            ],
            "reduction": ["none", {"op": "tome", "keep": [0.5]}, {"op": "evit", "keep": [0.5]}],
        }
    ],
}
CLASSES = 10
linux = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the system does not tell a process's peak"
)


def space(**changes: object) -> SearchSpace:
    return SearchSpace(SPACE | {"stages": [SPACE["stages"][0] | changes]}, all_cards())


def profile(batch: int = 1, **changes: object) -> HardwareProfile:
    config = HardwareConfig(batch=batch, **changes)  # type: ignore[arg-type]
    return HardwareProfile.of("cpu", config, (16, 16), 1)


def rows(of: SearchSpace, count: int) -> np.ndarray:
    return of.sample_genes(np.random.default_rng(0), count)


def test_onnx_runtime_holds_a_map_of_attention_or_two_hidden_tensors() -> None:
    plain = space(attention=["softmax"], reduction=["none"], mlp_ratio=[4])
    for row in rows(plain, 20):
        made = plain.decode(row)
        blocks = made.stages[0].blocks
        n, width = (16 // made.patch_size) ** 2, made.stages[0].width
        expected = max(
            max(
                2 * n * width + 2 * n * 16 * b.heads + b.heads * n * max(n, 16),
                n * width + 2 * n * b.mlp_hidden,
            )
            for b in blocks
        )
        kernels = workload(made, CLASSES).kernels
        assert onnx_peak_live(kernels)[0] == expected


def test_columns_say_what_single_architectures_say() -> None:
    mixed = space()
    liveness = RUNTIMES["onnxruntime"].liveness(profile())
    assert liveness is not None
    genes = rows(mixed, 60)
    found = SpaceCosts(mixed, CLASSES, liveness)(genes).peak_activation_mb(3)
    for row, mb in zip(genes, found, strict=True):
        work = workload(mixed.decode(row), CLASSES)
        live, _ = onnx_peak_live(work.kernels)
        assert mb == pytest.approx(3 * (live + work.input_elements) * 4 / 1e6)


def test_a_search_takes_the_runtimes_own_form_where_that_can_be_measured() -> None:
    wide = space()
    for wanted, runtime in (
        (profile(1), "torch_eager"),  # all below 4 MB: nothing could be claimed
        (profile(256), "onnxruntime"),
        (profile(256, precision="int8"), "onnxruntime"),
        (profile(256, precision="int8_static"), "onnxruntime"),
        (profile(256, runtime="torch_eager"), "torch_eager"),
        (None, "torch_eager"),
    ):
        assert costs_on(wanted, wide, CLASSES).liveness.runtime == runtime


def test_half_precision_on_a_gpu_takes_half() -> None:
    genes = rows(space(), 5)
    full, half = (
        costs_on(profile(device="cuda", runtime="cuda_eager", precision=name), space(), CLASSES)
        for name in ("fp32", "bf16")
    )
    assert full.liveness.runtime == "cuda_eager"
    assert half(genes).peak_memory_mb(8) == pytest.approx(full(genes).peak_memory_mb(8) / 2)


def test_int8_holds_the_same_activations_and_a_quarter_of_the_weights() -> None:
    mixed, genes = space(), rows(space(), 40)
    full, small = (
        costs_on(profile(256, precision=name), mixed, CLASSES)(genes) for name in ("fp32", "int8")
    )
    np.testing.assert_array_equal(small.peak_activation_mb(256), full.peak_activation_mb(256))
    np.testing.assert_array_equal(small.params_B, full.params_B)
    np.testing.assert_array_equal(small.features_BF, full.features_BF)
    weights_mb = small.peak_memory_mb(256) - small.peak_activation_mb(256)
    share = weights_mb / (full.params_B * 4e-6)
    assert ((share > 0.25) & (share < 0.5)).all()


def test_stored_weights_are_those_of_the_file() -> None:
    pytest.importorskip("onnxruntime")
    mixed = space(width=[64], reduction=["none"])
    model = build_model(mixed.decode(rows(mixed, 1)[0]), CLASSES).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter)  # equal tensors, as biases of zeros, would be stored once
    content = RUNTIMES["onnxruntime"].export(model, torch.zeros(1, 1, 16, 16), "int8")  # type: ignore[attr-defined]
    costs = costs_on(profile(256, precision="int8"), mixed, CLASSES)(rows(mixed, 1))
    found_mb = costs.peak_memory_mb(256)[0] - costs.peak_activation_mb(256)[0]
    assert found_mb == pytest.approx(tensors_mb(content), rel=0.03)


@linux
@pytest.mark.slow
def test_dead_tensors_are_not_kept_for_later_ones_of_their_shape() -> None:
    widths = [1024, 2048, 1024, 3072, 1024, 2048, 1024]
    chain = nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(widths)))
    tokens = torch.randn(1024, 1024)
    found = onnx_activation_mb(trace_to_onnx(chain, tokens), tokens.numpy(), threads=1)
    assert found == pytest.approx(1024 * 4 * (1024 + 1024 + 3072) / 1e6, rel=0.03)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8", "int8_static"])
def test_onnx_runtime_is_told_within_a_tenth(precision: str) -> None:
    wanted = profile(64, precision=precision)
    mixed = space(width=[64], mlp_ratio=[2, 4])
    costs = costs_on(wanted, mixed, CLASSES)
    images, told = torch.randn(64, 1, 16, 16), 0
    for row in rows(mixed, 8):
        model = build_model(mixed.decode(row), CLASSES)
        memory = peak_memory_on(wanted, model, images)
        if memory.runtime == "onnxruntime":
            found = costs(row[None]).peak_memory_mb(64)[0]
            assert found == pytest.approx(memory.peak_memory_mb, rel=0.1)
            told += 1
    assert told >= 4


@linux
@pytest.mark.slow
def test_a_member_too_small_to_measure_keeps_the_closed_form_and_says_so(tmp_path: Path) -> None:
    wanted, small = profile(8), space(width=[32], depth=[1], mlp_ratio=[1], attention=["softmax"])
    liveness = RUNTIMES["onnxruntime"].liveness(wanted)
    assert liveness is not None
    costs = SpaceCosts(small, CLASSES, liveness)
    genes = small.extreme(largest=False, patch_size=2)
    run = SimpleNamespace(
        profile=wanted,
        costs=costs,
        folder=SimpleNamespace(memory=tmp_path / "memory.json"),
        example=lambda profile: torch.randn(profile.input_shape),
    )
    model = build_model(small.decode(genes), CLASSES)
    metric = member_memory(run, model, costs(genes[None]))  # type: ignore[arg-type]
    assert metric.kind == "predicted"
    assert metric.source["runtime"] == "onnxruntime"
