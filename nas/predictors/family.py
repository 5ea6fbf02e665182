"""What a predictor family's file provides, and where families are found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from nas.runtimes.base import FloatArray
from search_spaces.registry import Registry

Hyper = Mapping[str, float]
Regression = Callable[[FloatArray], FloatArray]
"""Features (B, F) to latencies in ms (B,), all positive."""


class Family(ABC):
    """A way to learn latencies from features.

    Attributes:
        name: what it is called in a stored predictor.
        summary: one line for ``formfinder list predictor``.
        slow: whether predicting takes so long that a search feels it; then it takes part only
            where it lowers the held-out error noticeably.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    slow: ClassVar[bool] = False

    @abstractmethod
    def grid(self) -> Sequence[Hyper]:
        """The hyper-parameters that cross-validation chooses among, the simplest first."""

    @abstractmethod
    def fit(
        self, features_BF: FloatArray, latency_ms_B: FloatArray, hyper: Hyper, seed: int
    ) -> Regression:
        """Learn. The same arguments give the same regression.

        Args:
            features_BF: (B, F), not negative: ``supernet.features.Features``, of which the first
                columns (``ROOFLINE``) and the last (parameters) stand in every space.
            latency_ms_B: (B,), positive.
            hyper: one of ``grid()``.
            seed: of whatever is random.
        """


FAMILIES: Registry[Family] = Registry("predictor", "nas.predictors")
"""Those of this folder, and what users add."""
