"""A member of a supernet that is only evaluated: its weights do not change any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn import functional as F

from supernet.forward import EMPTY, forward_logits, norm_tokens
from supernet.network import Part, ResolvedNetwork
from supernet.operators import Weights
from supernet.products import Factor, can_multiply, linear_gelu
from supernet.tokens import TokenState

LARGE = 1 << 28
"""Multiplications of a batch's largest product from which on laying weights out pays: measured, a
pass then takes 4 to 17 % less, and a member's weights cost some 10 ms."""


class FrozenMember:
    """A member with the weights it has when it is first called; quicker on a CPU where it is large.

    Logits are those of the member to rounding. Small batches, other devices and dtypes, autocast,
    gradients and tracing go through the member itself.

    Args:
        network: what it is.
        member: the same, computed in the plain way.
        weights: its parameters by part.
    """

    def __init__(
        self,
        network: ResolvedNetwork,
        member: Callable[[Tensor], Tensor],
        weights: Callable[[], Mapping[str, Weights]],
    ) -> None:
        self.network = network
        self._member, self._weights = member, weights
        self._factors: Mapping[str, Weights] | None = None
        self._per_image = _largest_product(network)

    def __call__(self, images_BCHW: Tensor) -> Tensor:
        """Logits ``(B, classes)`` of normalised images of the space's size."""
        if len(images_BCHW) * self._per_image < LARGE or not can_multiply(images_BCHW):
            return self._member(images_BCHW)
        if self._factors is None:
            self._factors = {
                path: {name: Factor.of(tensor) for name, tensor in found.items()}
                for path, found in self._weights().items()
            }
        factors = self._factors

        def source(part: Part) -> Weights:
            return factors[part.path] if part.specs else EMPTY

        return forward_logits(images_BCHW, self.network, source, mlp=_mlp)


def _mlp(state: TokenState, w: Weights, norm_eps: float) -> TokenState:
    """The MLP of ``supernet.forward`` with fewer passes over what it holds."""
    hidden_BNF = linear_gelu(norm_tokens(state.x_BND, w, norm_eps), w["fc1_weight"], w["fc1_bias"])
    made_BND = F.linear(hidden_BNF, w["fc2_weight"], w["fc2_bias"])
    return state.but(x_BND=made_BND.add_(state.x_BND))


def _largest_product(network: ResolvedNetwork) -> int:
    """Multiplications of the largest MLP product, for one image."""
    sizes = [block.mlp for stage in network.stages for block in stage.blocks]
    return max(int(s.all_tokens * s.width * s.hidden) for s in sizes)
