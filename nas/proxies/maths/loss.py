"""The gradient of the loss on a few labelled images: what SNIP and the gradient norm look at."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.proxies.maths.weights import gradients, in_float64, run, synapses


def loss_gradients(
    model: nn.Module, images_BCHW: Tensor, labels_B: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """Every matrix and kernel with the gradient of the mean cross-entropy, float64, by name."""
    tensors = in_float64(model)
    weights = {name: tensors[name] for name in synapses(model)}
    with torch.enable_grad():
        loss = F.cross_entropy(run(model, tensors, images_BCHW.double()), labels_B)
    found = gradients(loss, weights)
    return {name: (weights[name].detach(), found[name]) for name in weights}
