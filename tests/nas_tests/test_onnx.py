"""Exported files: checked, labelled, whole or absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.export.onnx import ExportError, export_onnx, trace_to_onnx


class Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_BND: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x_BND)).unflatten(-1, (3, self.heads, -1)).unbind(2)
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x_BND = x_BND + F.gelu(self.out(mixed))
        score_BN = x_BND.norm(dim=-1)
        kept = score_BN.topk(8, dim=1).indices.sort(dim=1).values
        return x_BND.gather(1, kept.unsqueeze(-1).expand(-1, -1, x_BND.shape[-1]))


class Vit(nn.Module):
    """Attention, GELU and a reduction of tokens: what the real models are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 4, 4)
        self.layer = Layer(16, 2)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(16, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.embed(images).flatten(2).transpose(1, 2)
        logits: Tensor = self.head(self.drop(self.layer(x)).mean(1))
        return logits


@pytest.fixture
def model() -> Vit:
    torch.manual_seed(0)
    return Vit()


def run(content: str | bytes, images: Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images.numpy()})[0]


def logits(model: nn.Module, images: Tensor) -> np.ndarray:
    with torch.inference_mode():
        return model.eval()(images).numpy()


def test_the_file_computes_what_the_module_computes(model: Vit, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "best.onnx"
    images = torch.randn(2, 3, 16, 16)
    report = export_onnx(model, images, path, metadata={"architecture": "0123456789abcdef"})
    other = torch.randn(2, 3, 16, 16)
    np.testing.assert_allclose(run(str(path), other), logits(model, other), atol=1e-4)
    assert report.path == path
    assert report.max_difference < 1e-4
    assert report.size_mb == path.stat().st_size / 1e6
    stored = onnx.load(str(path))
    labels = {entry.key: entry.value for entry in stored.metadata_props}
    assert labels["architecture"] == "0123456789abcdef"
    assert labels["formfinder_version"]
    assert stored.opset_import[0].version == report.opset
    assert [value.name for value in stored.graph.input] == ["images"]
    assert [value.name for value in stored.graph.output] == ["logits"]
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument):
        run(str(path), torch.randn(3, 3, 16, 16))
    assert [entry.name for entry in path.parent.iterdir()] == ["best.onnx"]


def test_a_dynamic_batch_takes_any(model: Vit, tmp_path: Path) -> None:
    path = tmp_path / "best.onnx"
    report = export_onnx(model, torch.randn(1, 3, 16, 16), path, dynamic_batch=True)
    assert report.dynamic_batch
    for batch in (1, 2, 5):
        images = torch.randn(batch, 3, 16, 16)
        np.testing.assert_allclose(run(str(path), images), logits(model, images), atol=1e-4)


class Dice(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) + torch.rand(3)


def test_a_graph_that_differs_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "best.onnx"
    path.write_bytes(b"the one of before")
    with pytest.raises(ExportError, match=r"differs from torch by 0\.\d+ at batch 1; allowed"):
        export_onnx(Dice(), torch.randn(1, 3, 8, 8), path)
    assert path.read_bytes() == b"the one of before"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.filterwarnings("error")
def test_the_quick_trace_agrees_and_says_nothing(model: Vit) -> None:
    images = torch.randn(2, 3, 16, 16)
    np.testing.assert_allclose(
        run(trace_to_onnx(model, images), images), logits(model, images), atol=1e-5
    )
