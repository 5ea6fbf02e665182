"""Networks whose images keep different numbers of tokens, and what they cost image by image.

Costs everywhere else are those of an image that keeps the most. Here they are those of a *trace*:
the number of patch tokens behind the one reduction that lets the image decide (the legality walk
allows none behind it). N images; a trace is one of their numbers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from search_spaces.architecture import Architecture
from search_spaces.automaton import IntArray
from search_spaces.workload import Count, Sizes
from supernet.forward import Features as Backbone
from supernet.network import ResolvedBlock, ResolvedNetwork, resolve
from supernet.workload import Workload, layers_of, workload

CHUNK = 256


class HasFeatures(Protocol):
    """An extracted model, or what runs like one."""

    def forward_features(self, images_BCHW: Tensor) -> Backbone: ...


def is_ragged(architecture: Architecture) -> bool:
    """Whether the number of tokens depends on the image.

    Raises:
        UserError: the architecture is not legal.
    """
    blocks = resolve(architecture, 1).stages[-1].blocks
    return bool(blocks[-1].after.ragged)


def token_counts(model: HasFeatures, images_NCHW: Tensor) -> IntArray:
    """How many patch tokens each image has behind the last block, ``(N,)``."""
    counts = []
    with torch.inference_mode():
        for images_BCHW in torch.split(images_NCHW, CHUNK):
            state = model.forward_features(images_BCHW).state
            there_BN = state.sizes_BN1()[:, state.special :, 0] > 0
            counts.append(there_BN.sum(dim=1).cpu())
    found: IntArray = torch.cat(counts).numpy()
    return found


def in_batches(counts_N: IntArray, batch: int) -> IntArray:
    """The tokens that calls of ``batch`` images run: those of the image that keeps the most."""
    batch = min(batch, len(counts_N))
    longest: IntArray = counts_N[: len(counts_N) // batch * batch].reshape(-1, batch).max(axis=1)
    return longest


def traced(architecture: Architecture, num_classes: int, tokens: Count) -> Workload:
    """The work on an image that keeps so many patch tokens; an int, or a column of traces.

    Raises:
        UserError: the architecture is not legal.
    """
    network = with_tokens(resolve(architecture, num_classes), tokens)
    whole = workload(architecture, num_classes)
    return Workload(tuple(layers_of(network)), whole.input_elements)


def with_tokens(network: ResolvedNetwork, tokens: Count) -> ResolvedNetwork:
    """The network as an image runs it that keeps so many patch tokens."""

    def there(sizes: Sizes) -> Sizes:
        return sizes.but(tokens=tokens) if sizes.ragged else sizes

    def changed(block: ResolvedBlock) -> ResolvedBlock:
        return replace(
            block,
            before=there(block.before),
            mixing=there(block.mixing),
            mlp=there(block.mlp),
            after=there(block.after),
        )

    stages = tuple(
        replace(stage, entry=there(stage.entry), blocks=tuple(map(changed, stage.blocks)))
        for stage in network.stages
    )
    return replace(network, stages=stages)
