"""What runs inside a Ray actor."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from nas.executors.executor import Answer, Evaluator, EvaluatorFactory, Part, evaluate_safely
from search_spaces.architecture import Architecture


class Worker:
    """Holds one evaluator for as long as the process lives.

    Args:
        threads: of the evaluator's libraries.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._evaluator: Evaluator | None = None

    def start(self, factory: EvaluatorFactory, references: Sequence[Any]) -> None:
        """Build the evaluator. Apart from ``__init__``, so that its errors arrive as they are.

        Args:
            factory: builds it.
            references: of the shared arrays, one. Its content is not copied: on one machine all
                workers read the same memory, and nobody can write it.
        """
        import ray

        self._pin()
        self._evaluator = factory.build(ray.get(references[0]))
        self._pin()  # it may have been the build that imported torch

    def evaluate(self, architecture: Architecture, part: Part = "all") -> Answer:
        """What one architecture turns out to be."""
        assert self._evaluator is not None
        return evaluate_safely(self._evaluator, architecture, part)

    def _pin(self) -> None:
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.set_num_threads(self._threads)
