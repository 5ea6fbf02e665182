"""Evaluate here, one after the other: for debugging, tests and machines without Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from nas.executors.executor import (
    EXECUTORS,
    Evaluator,
    EvaluatorFactory,
    ExecutorOptions,
    Outcome,
    Part,
    evaluate_safely,
)
from search_spaces.architecture import Architecture


class InProcess:
    """An ``Executor`` in this process. ``timeout_s`` cannot be enforced here and is ignored."""

    def __init__(self, factory: EvaluatorFactory) -> None:
        self._factory = factory
        self._evaluator: Evaluator | None = None

    def run(
        self,
        architectures: Sequence[Architecture],
        should_stop: Callable[[], bool],
        part: Part = "all",
    ) -> Iterator[Outcome]:
        """See ``Executor.run``; the outcomes come in the order of the architectures."""
        for architecture in architectures:
            if should_stop():
                return
            if self._evaluator is None:
                self._evaluator = self._factory.build(self._factory.shared())
            answer = evaluate_safely(self._evaluator, architecture, part)
            yield Outcome.of(architecture, answer)

    def close(self) -> None:
        """Let go of the evaluator."""
        self._evaluator = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@EXECUTORS.register
class InProcessOpener:
    """Registered as ``in_process``."""

    name = "in_process"
    label = "in this process"
    summary = "one evaluation after the other, no other process, no time-out"

    def check(self, options: ExecutorOptions) -> None:
        """See ``Opener.check``: it always works."""

    def open(self, factory: EvaluatorFactory, options: ExecutorOptions, folder: Path) -> InProcess:
        """See ``Opener.open``."""
        return InProcess(factory)
