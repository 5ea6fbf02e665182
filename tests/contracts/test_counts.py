"""Invariant 2: closed-form counts equal what the built model holds and what torch counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from search_spaces.workload import total
from supernet.costs import SpaceCosts
from supernet.extract import VisionTransformer, build_model
from supernet.ragged import is_ragged, token_counts, traced
from supernet.workload import workload
from tests.contracts.cases import CLASSES, PLACES, SHAPES


def counted_macs(model: nn.Module, images: torch.Tensor) -> float:
    """What torch sees, halved, for one image. With grad: it fails on some models without."""
    with FlopCounterMode(display=False) as counter:
        model(images)
    return counter.get_total_flops() / 2 / len(images)


def stated_macs(model: VisionTransformer, images: torch.Tensor) -> int:
    """Our count of the same kernels; images with fewer tokens are padded to the longest."""
    work = workload(model.architecture, CLASSES)
    if is_ragged(model.architecture):
        longest = int(token_counts(model, images).max())
        work = traced(model.architecture, CLASSES, longest)
    kernels = work.kernels
    return int(total([kernel for kernel in kernels if kernel.counted], "macs"))


def test_counts_equal_the_built_model(case, place, images_at) -> None:
    for width, heads in SHAPES:
        architecture = case.architecture(place, width, heads)
        model = build_model(architecture, CLASSES)

        assert workload(architecture, CLASSES).params == sum(p.numel() for p in model.parameters())
        assert stated_macs(model, images_at(place)) == counted_macs(model, images_at(place))


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_counts_of_random_members(place, stages, supernet_at, images_at, random_members) -> None:
    for architecture in random_members(supernet_at(place, stages).space, 12):
        model = build_model(architecture, CLASSES)

        assert workload(architecture, CLASSES).params == sum(p.numel() for p in model.parameters())
        assert stated_macs(model, images_at(place)) == counted_macs(model, images_at(place))


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_columns_equal_single_counts(place, stages, supernet_at) -> None:
    space = supernet_at(place, stages).space
    genes_BG = space.sample_genes(np.random.default_rng(3), 60)
    single = [workload(space.decode(row), CLASSES) for row in genes_BG]

    costs = SpaceCosts(space, CLASSES)(genes_BG)

    assert costs.params_B.tolist() == [work.params for work in single]
    assert costs.macs_B.tolist() == [work.macs for work in single]
    np.testing.assert_allclose(
        costs.peak_activation_mb(), [work.peak_activation_mb() for work in single], rtol=1e-12
    )


def test_no_count_is_negative(case, place) -> None:
    for kernel in workload(case.architecture(place), CLASSES).kernels:
        fields = (kernel.macs, kernel.moved, kernel.weights, kernel.live, kernel.repeat)

        assert min(fields) >= 0, kernel


def test_work_that_is_not_done_costs_nothing(case, place) -> None:
    """No special tokens, no low heads: then their products neither move nor hold anything."""
    for heads in (1, 3):
        for layer in workload(case.architecture(place, heads=heads), CLASSES).layers:
            for kernel in layer.kernels:
                if kernel.op in ("linear", "attention", "matmul", "conv") and kernel.macs == 0:
                    assert kernel.moved == 0, (layer.name, kernel)
