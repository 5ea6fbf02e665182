"""Quantised files answer as the ones they were made from, and only weights were quantised."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
import torch

from nas.export.onnx import trace_to_onnx
from nas.export.quantise import quantise_dynamic, quantise_static
from nas.runtimes.onnxruntime import open_session
from search_spaces.architecture import Architecture, Block, OpSetting, Stage
from supernet.extract import build_model

BATCH = 8


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((BATCH, 1, 16, 16), dtype=np.float32)


@pytest.fixture(scope="module")
def exact(images: np.ndarray) -> bytes:
    """A network with every kind of product: weights, attention maps, merged tokens."""
    torch.manual_seed(0)
    ops = [("softmax", OpSetting.of("tome", keep=0.5)), ("separable", OpSetting("none"))]
    blocks = tuple(
        Block(attention=OpSetting(op), heads=2, head_dim=16, mlp_hidden=256, reduction=reduction)
        for op, reduction in ops
    )
    stage = Stage(width=64, blocks=blocks)
    shape = {"image_size": (16, 16), "channels": 1, "patch_size": 4}
    position = OpSetting("table")
    model = build_model(Architecture(stages=(stage,), position=position, **shape), 10)
    return trace_to_onnx(model, torch.from_numpy(images))


def run(content: bytes, images: np.ndarray) -> np.ndarray:
    return open_session(content, 1).run(None, {"images": images})[0]


def quantise(kind: str, exact: bytes, images: np.ndarray) -> bytes:
    return quantise_dynamic(exact) if kind == "dynamic" else quantise_static(exact, [images])


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_eight_bits_stay_close_to_thirty_two(kind, exact, images):
    made = quantise(kind, exact, images)
    expected = run(exact, images)
    assert np.abs(run(made, images) - expected).max() < 0.05 * np.abs(expected).max()
    assert len(made) < 0.5 * len(exact)


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_no_product_with_weights_is_left_and_attention_maps_are(kind, exact, images):
    made = onnx.load_from_string(quantise(kind, exact, images)).graph
    weights = {tensor.name for tensor in made.initializer}
    plain = [n for n in made.node if n.op_type in ("MatMul", "Gemm")]
    products = sum(n.op_type in ("MatMul", "Gemm") for n in onnx.load_from_string(exact).graph.node)
    assert not any(weights & set(node.input[1:2]) for node in plain)
    if kind == "dynamic":
        whole = Counter(node.op_type for node in made.node)["MatMulInteger"]
        assert 0 < whole == products - len(plain)


def test_nothing_to_calibrate_on_is_refused(exact):
    with pytest.raises(ValueError, match="at least one batch"):
        quantise_static(exact, [])
