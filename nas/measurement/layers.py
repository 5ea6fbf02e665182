"""The time of every layer on this computer, in torch eager."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from supernet.extract import VisionTransformer

WARM, LEAST, MOST, SECONDS = 5, 10, 100, 2.0
"""Passes that do not count, fewest and most that do, and the time they may take."""

# Parameters that are asked for in the middle of a layer, and the layer they belong to.
_INSIDE = {"tokens": "embedding", "norm": "head"}


def measure_layers(
    model: VisionTransformer, batch: int, layers: Collection[str], threads: int = 1
) -> dict[str, float]:
    """Median milliseconds of each layer for one batch, by the layer's name; 0 where nothing runs.

    A network asks for the parameters of a part when it comes to it, and works on them before it
    asks for the next: so the times of asking tell the layers apart. This holds on a processor,
    which is done with one operation before it begins the next.

    Args:
        model: in eval mode, on the processor.
        batch: images of a pass.
        layers: names of the layers, those of the workload.
        threads: of torch.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    shape = (batch, model.architecture.channels, *model.architecture.image_size)
    images_BCHW = torch.randn(shape, generator=generator)
    passes: list[dict[str, float]] = []
    try:
        with torch.inference_mode():
            ends_s = time.perf_counter() + SECONDS
            while len(passes) < WARM + LEAST or (
                len(passes) < WARM + MOST and time.perf_counter() < ends_s
            ):
                passes.append(_one_pass(model, images_BCHW, layers))
    finally:
        torch.set_num_threads(before)
    counted = passes[WARM:]
    return {name: float(np.median([each.get(name, 0.0) for each in counted])) for name in layers}


def _one_pass(
    model: VisionTransformer, images_BCHW: object, layers: Collection[str]
) -> dict[str, float]:
    asked: list[tuple[str, float]] = []
    with model.watched(lambda path: asked.append((path, time.perf_counter()))):
        model(images_BCHW)
    asked.append(("", time.perf_counter()))
    spent: dict[str, float] = defaultdict(float)
    layer = ""
    for (path, began_s), (_, ended_s) in pairwise(asked):
        name = _INSIDE.get(path, path)
        layer = name if name in layers else layer
        spent[layer] += 1e3 * (ended_s - began_s)
    return dict(spent)
