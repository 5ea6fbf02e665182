"""The entry of the first stage: nothing happens."""

from __future__ import annotations

from search_spaces.architecture import OpSetting
from search_spaces.card import Geometry, TransitionCard, unchanged
from search_spaces.workload import Kernel, Sizes
from supernet.operators import Transition, Weights
from supernet.tokens import TokenState
from supernet.transition import TRANSITIONS


def _rejects(geometry: Geometry, setting: OpSetting) -> str | None:
    # Asked of later stages only, whose width may be another one.
    return "only the first stage has nothing in front of it"


def _kernels(sizes: Sizes, setting: OpSetting) -> list[Kernel]:
    return []


@TRANSITIONS.register
class NoTransition(Transition):
    """The identity."""

    card = TransitionCard(
        name="none",
        summary="nothing (the first stage)",
        rejects=_rejects,
        after=unchanged,
        kernels=_kernels,
    )

    def forward(self, state: TokenState, w: Weights, setting: OpSetting) -> TokenState:
        """The state as it is."""
        return state
