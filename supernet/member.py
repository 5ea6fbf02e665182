"""A member of a supernet, ready to run many times and to learn."""

from __future__ import annotations

import torch
from torch import Tensor

from supernet.cutting import BoundWeights
from supernet.forward import EMPTY, forward_logits
from supernet.frozen import FrozenMember
from supernet.network import Part, ResolvedNetwork
from supernet.operators import Weights


class Member:
    """One architecture of a supernet, bound to its weights as they are now.

    It sees what changes in place (a step of an optimiser, ``load_state_dict``). Once the weights
    were moved or replaced, ask the supernet for it again. ``backward`` adds to the ``grad`` of the
    supernet's parameters; the memory of a gradient that was dropped is used again, so one that is
    kept for later must be cloned. ``torch.autograd.grad`` with respect to the supernet's
    parameters and second derivatives need ``Supernet.forward``.

    Attributes:
        network: what it is.
    """

    def __init__(self, network: ResolvedNetwork, bound: BoundWeights) -> None:
        self.network = network
        self._bound = bound

    def is_current(self) -> bool:
        """Whether the supernet's parameters are still those that it is bound to."""
        return self._bound.is_current()

    def frozen(self) -> FrozenMember:
        """The same for weights that do not change any more: quicker to evaluate where it is large.

        It may lay out a copy of the weights, so keep it no longer than they stay as they are.
        """
        return FrozenMember(self.network, self, self._bound.weights)

    def __call__(self, images_BCHW: Tensor) -> Tensor:
        """Logits ``(B, classes)`` of normalised images of the space's size."""
        weights = self._bound.weights()

        def source(part: Part) -> Weights:
            return weights[part.path] if part.specs else EMPTY

        logits_BK = forward_logits(images_BCHW, self.network, source)
        if logits_BK.requires_grad:
            # The first thing on the way back, so that gradients may be dropped in between.
            logits_BK.register_hook(self._claim)  # type: ignore[no-untyped-call]
        return logits_BK

    def _claim(self, grad_BK: Tensor) -> None:
        if torch.is_grad_enabled():  # create_graph: gradients would not be added in place
            raise RuntimeError("a bound member has no second derivatives: use Supernet.forward")
        self._bound.claim_gradients()
