"""What an operator is: a card and a stateless ``forward`` that is handed its tensors.

An operator holds nothing. The supernet hands it slices of shared masters, an extracted model its
own parameters; both run the same code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from search_spaces.architecture import OpSetting
from search_spaces.card import (
    AttentionCard,
    Cards,
    EmbeddingCard,
    PositionCard,
    ReductionCard,
    TransitionCard,
)
from search_spaces.workload import Sizes
from supernet.tokens import TokenState

Weights = Mapping[str, Tensor]
"""The parameters of one operator, by the names of its specs."""


class Attention(ABC):
    """A token mixer."""

    card: ClassVar[AttentionCard]

    @property
    def name(self) -> str:
        """Its name in spaces and files."""
        return self.card.name

    @abstractmethod
    def forward(
        self,
        y_BND: Tensor,
        state: TokenState,
        w: Weights,
        setting: OpSetting,
        sizes: Sizes,
        wants: str | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Mix tokens.

        Args:
            y_BND: normed tokens.
            state: the state in front of the layer, for grid, sizes and centres.
            w: its parameters.
            setting: its parameters' choices.
            sizes: heads, head_dim, width.
            wants: a score of ``card.gives`` that a reduction will use, or None.

        Returns:
            What is added to the residual stream, ``(B, N, D)``, and the score: ``(B, n)`` over
            patch tokens (``class``, ``received``, ``context``) or ``(B, N, d)`` (``key_mean``).
        """


class Reduction(ABC):
    """A token reduction."""

    card: ClassVar[ReductionCard]

    @property
    def name(self) -> str:
        """Its name in spaces and files."""
        return self.card.name

    @abstractmethod
    def forward(
        self, state: TokenState, score: Tensor | None, w: Weights, setting: OpSetting
    ) -> TokenState:
        """Reduce tokens.

        Args:
            state: the tokens.
            score: what it asked of the attention, or None where it uses its fallback.
            w: its parameters.
            setting: its parameters' choices.
        """


class Transition(ABC):
    """The passage into the next stage."""

    card: ClassVar[TransitionCard]

    @property
    def name(self) -> str:
        """Its name in spaces and files."""
        return self.card.name

    @abstractmethod
    def forward(self, state: TokenState, w: Weights, setting: OpSetting) -> TokenState:
        """Bring the tokens to the next stage's width and grid."""


class Position(ABC):
    """Where positions come from."""

    card: ClassVar[PositionCard]

    @property
    def name(self) -> str:
        """Its name in spaces and files."""
        return self.card.name

    @abstractmethod
    def forward(self, state: TokenState, w: Weights, setting: OpSetting) -> TokenState:
        """Add positions to the tokens."""


class Embedding(ABC):
    """How patches become tokens."""

    card: ClassVar[EmbeddingCard]

    @property
    def name(self) -> str:
        """Its name in spaces and files."""
        return self.card.name

    @abstractmethod
    def forward(
        self, images_BCHW: Tensor, patch: int, w: Weights, setting: OpSetting
    ) -> tuple[Tensor, tuple[int, int]]:
        """Tokens ``(B, n, D)`` in raster order, and their grid."""


def all_cards() -> Cards:
    """The cards of every operator there is, plug-ins included."""
    from supernet.attention import ATTENTIONS
    from supernet.embedding import EMBEDDINGS
    from supernet.position import POSITIONS
    from supernet.token_reduction import REDUCTIONS
    from supernet.transition import TRANSITIONS

    return Cards(
        attention={op.name: op.card for op in ATTENTIONS},
        reduction={op.name: op.card for op in REDUCTIONS},
        transition={op.name: op.card for op in TRANSITIONS},
        position={op.name: op.card for op in POSITIONS},
        embedding={op.name: op.card for op in EMBEDDINGS},
    )
