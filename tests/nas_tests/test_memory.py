"""Peak memory against sums done by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nas.measurement.memory import measure_peak_activation_mb, measure_peak_memory, peak_bytes

TOKEN_BYTES = 100 * 64 * 4


def chain(depth: int) -> nn.Sequential:
    return nn.Sequential(*[nn.Linear(64, 64) for _ in range(depth)])


def peak(model: nn.Module) -> int:
    return round(measure_peak_activation_mb(model, torch.randn(100, 64)) * 1e6)


def test_a_chain_holds_its_input_and_two_activations() -> None:
    """However deep: each layer's input is freed once its output exists."""
    assert peak(chain(1)) == 2 * TOKEN_BYTES
    assert peak(chain(2)) == 3 * TOKEN_BYTES
    assert peak(chain(7)) == 3 * TOKEN_BYTES


def test_the_widest_layer_decides() -> None:
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64))
    assert peak(model) == (1 + 4 + 4) * TOKEN_BYTES


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


def test_a_residual_keeps_what_it_adds() -> None:
    assert peak(nn.Sequential(nn.Linear(64, 64), Residual())) == 4 * TOKEN_BYTES


class InPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.exp().relu_().sqrt_()


def test_work_in_place_and_views_need_nothing() -> None:
    assert peak(InPlace()) == 2 * TOKEN_BYTES
    assert peak(nn.Flatten(0)) == TOKEN_BYTES


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        scores = x @ x.T
        return scores.softmax(-1) @ x


def test_score_maps_are_counted() -> None:
    """Input, scores and their softmax; the scores stay alive through the last product."""
    scores = 100 * 100 * 4
    assert peak(Attention()) == TOKEN_BYTES + 2 * scores + TOKEN_BYTES


class FreesOlderMemory(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.older = [torch.zeros(1000, 1000), torch.zeros(1000, 1000)]

    def forward(self, x: Tensor) -> Tensor:
        self.older.pop()
        return x.exp()


def test_memory_of_before_is_not_counted_when_it_is_freed() -> None:
    model = FreesOlderMemory()
    assert peak(model) == 2 * TOKEN_BYTES
    assert not model.older  # one went in the warm-up, one in the pass that was measured
    assert peak_bytes([(1, 100), (9, -5000), (2, 100), (1, -100), (3, 50)]) == 200


def test_freed_addresses_can_be_handed_out_again() -> None:
    events = [(1, 10), (2, 20), (1, -10), (1, 30), (2, -20), (1, -30), (1, -30)]
    assert peak_bytes(events) == 50
    assert peak_bytes([]) == 0


def test_three_measurements_are_equal() -> None:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    model = nn.Sequential(nn.Conv2d(1, 32, 2, 2), nn.Flatten(2), nn.Linear(64, 32), layer)
    images = torch.randn(2, 1, 16, 16)
    found = {measure_peak_activation_mb(model, images) for _ in range(3)}
    assert len(found) == 1


def test_weights_are_added_and_tied_ones_count_once() -> None:
    model = chain(2)
    model[1].weight = model[0].weight
    model.register_buffer("table", torch.zeros(10))
    memory = measure_peak_memory(model, torch.randn(100, 64))
    assert memory.weights_mb == pytest.approx((64 * 64 + 2 * 64 + 10) * 4 / 1e6)
    assert memory.peak_activation_mb == pytest.approx(3 * TOKEN_BYTES / 1e6)
    assert memory.peak_memory_mb == memory.weights_mb + memory.peak_activation_mb
    assert memory.to_dict()["peak_memory_mb"] == memory.peak_memory_mb
    assert memory.runtime == "torch_eager"
    assert memory.batch == 100


def test_the_batch_is_part_of_it() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    one = measure_peak_activation_mb(model, torch.randn(1, 1, 8, 8))
    assert measure_peak_activation_mb(model, torch.randn(4, 1, 8, 8)) == pytest.approx(4 * one)
