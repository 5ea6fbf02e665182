"""Synaptic flow (Tanaka et al., 2020): what synflow, log-synflow and DSS are made of.

``R = 1ᵀ ∏ |θ| 1``: the sum of a net's outputs for an image of ones, with the absolute values of
its weights. For every number on the way to be a sum over paths of products of weights,

- layer norms take no statistics (a norm subtracts the mean, which is what makes signs);
- activations count as ReLU, which passes on what is positive;
- all is in float64, as products over depth leave the range of float32.

Softmax shares are positive and sum to 1, so attention passes values on; the flow through its
queries and keys need not be positive. What overflows counts as the largest number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nas.proxies.maths.interception import WithoutNorms
from nas.proxies.maths.weights import LARGEST, finite, gradients, in_float64, run, synapses


@dataclass(frozen=True)
class Flow:
    """One synapse: the absolute values of a weight, and the gradient of R, both float64."""

    weight: Tensor
    gradient: Tensor


def synaptic_flow(model: nn.Module, images_BCHW: Tensor) -> dict[str, Flow]:
    """The flow through every matrix and kernel by name; the images only give their shape."""
    tensors = in_float64(model, positive=True)
    ones = torch.ones((1, *images_BCHW.shape[1:]), dtype=torch.float64)
    weights = {name: tensors[name] for name in synapses(model)}
    with torch.enable_grad(), WithoutNorms(straight=True):
        total = run(model, tensors, ones).sum()
    found = gradients(total, weights)
    return {name: Flow(weights[name].detach(), finite(found[name])) for name in weights}


def bounded(total: Tensor) -> float:
    """A float; the largest one in place of an overflow."""
    return float(finite(total))


def in_orders_of_magnitude(parts: Sequence[float]) -> float:
    """``log(1 + |S|)`` of the sum S, with its sign: S grows exponentially with depth.

    No order changes, and a model of it, or the scale of a plot, can cope.
    """
    total = max(-LARGEST, min(LARGEST, sum(parts)))
    return math.copysign(math.log1p(abs(total)), total)
