"""The seam between what is searched and where it is evaluated."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias, cast

from search_spaces.architecture import Architecture
from search_spaces.errors import UserError, bad_value
from search_spaces.registry import Registry

if TYPE_CHECKING:
    import numpy as np

Arrays: TypeAlias = "Mapping[str, np.ndarray[Any, Any]]"

Part = Literal["all", "first", "rest"]
"""Which of the validation images: ``first`` is a fixed part of them, ``rest`` are the others."""


class Evaluator(Protocol):
    """Holds what evaluations need: weights, decoded images."""

    def evaluate(self, architecture: Architecture) -> Mapping[str, float | str]:
        """The paid metrics by name. Equal architectures give equal values in every process.

        A text is no metric but a note: what else the evaluation tells, kept with the trial.
        """
        ...


class PartEvaluator(Evaluator, Protocol):
    """One that can also look at a part of the images, for studies with a first look."""

    def evaluate_part(self, architecture: Architecture, part: Part) -> Mapping[str, float | str]:
        """The paid metrics on a part of the images."""
        ...


class EvaluatorFactory(Protocol):
    """A frozen dataclass of plain values (names, numbers) that travels to the workers."""

    def shared(self) -> Arrays:
        """What all evaluators read, by name: weights, images. Called once, by the driver.

        Raises:
            UserError: the files it comes from cannot be used.
        """
        ...

    def build(self, shared: Arrays) -> Evaluator:
        """Make an evaluator; called once in each worker, which may see no file of the driver's.

        Args:
            shared: what ``shared`` gave; perhaps read-only, in memory that other workers read.

        Raises:
            UserError: nothing can be evaluated with it.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one architecture.

    Attributes:
        architecture: as submitted.
        values: the metrics, all finite; empty where it failed.
        notes: texts that the evaluator gave beside them.
        error: why it failed, one line; None where it did not.
        seconds: wall time of the evaluation itself, s.
    """

    architecture: Architecture
    values: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    seconds: float = 0.0

    @classmethod
    def of(cls, architecture: Architecture, answer: Answer) -> Self:
        """What a worker answered about an architecture."""
        values, notes, error, seconds = answer
        return cls(
            architecture=architecture, values=values, notes=notes, error=error, seconds=seconds
        )


class Executor(Protocol):
    """Evaluates architectures, somewhere, in some order."""

    def run(
        self,
        architectures: Sequence[Architecture],
        should_stop: Callable[[], bool],
        part: Part = "all",
    ) -> Iterator[Outcome]:
        """Evaluate a batch.

        Args:
            architectures: without duplicates.
            should_stop: once it says True nothing new is begun; what is in flight is finished.
            part: on which images; other than ``all`` needs a ``PartEvaluator``.

        Yields:
            One outcome per evaluated architecture, as they finish. A failed evaluation is an
            outcome, not an exception.

        Raises:
            UserError: the evaluators cannot be built or run at all.
        """
        ...

    def close(self) -> None:
        """Free all workers. Idempotent."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorOptions:
    """How to evaluate. Results do not depend on it.

    Attributes:
        workers: evaluating processes; None: one per core.
        timeout_s: one evaluation may take this long, s.
        retries: how often an evaluation is begun again whose worker died. Errors and time-outs
            are not retried: they would come again.
        address: a Ray cluster to join; None: start a local one.
        threads: threads of each worker.
    """

    workers: int | None = None
    timeout_s: float = 120.0
    retries: int = 2
    address: str | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise bad_value("executor.workers", self.workers, "1 or more, or null")
        if not (self.timeout_s > 0 and math.isfinite(self.timeout_s)):
            raise bad_value("executor.timeout_s", self.timeout_s, "a time above 0, s")
        if self.retries < 0:
            raise bad_value("executor.retries", self.retries, "0 or more")
        if self.threads < 1:
            raise bad_value("executor.threads", self.threads, "1 or more")


class Opener(Protocol):
    """What an executor's file registers: a way to open one.

    Attributes:
        name: as in ``executor=NAME``.
        label: for people.
        summary: one line for ``list`` and the docs.
    """

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def summary(self) -> str: ...

    def check(self, options: ExecutorOptions) -> None:
        """Refuse early: called before a run trains anything, and quick.

        Raises:
            UserError: it cannot work here; says how to run without.
        """
        ...

    def open(self, factory: EvaluatorFactory, options: ExecutorOptions, folder: Path) -> Executor:
        """Start evaluating with what ``factory`` builds; ``folder`` is the run's own."""
        ...


Answer: TypeAlias = tuple[dict[str, float], dict[str, str], str | None, float]
"""Values, notes, error, seconds: an outcome on its way from a worker."""

EXECUTORS: Registry[Opener] = Registry("executor", "nas.executors")


def open_executor(
    name: str, factory: EvaluatorFactory, options: ExecutorOptions, folder: Path
) -> Executor:
    """Open the executor ``name``.

    Raises:
        UserError: there is none of that name, or it cannot start; says how to run without.
    """
    return EXECUTORS[name].open(factory, options, folder)


def evaluate_safely(evaluator: Evaluator, architecture: Architecture, part: Part = "all") -> Answer:
    """Whatever happens in an evaluator is an answer.

    Raises:
        UserError: passed on, for then no evaluation can succeed.
    """
    start = time.perf_counter()
    try:
        if part == "all":
            found = evaluator.evaluate(architecture)
        else:
            found = cast(PartEvaluator, evaluator).evaluate_part(architecture, part)
        notes = {name: text for name, text in found.items() if isinstance(text, str)}
        values = {name: float(v) for name, v in found.items() if name not in notes}
    except UserError:
        raise
    except Exception as error:
        return {}, {}, _one_line(error), time.perf_counter() - start
    seconds = time.perf_counter() - start
    odd = {name: value for name, value in values.items() if not math.isfinite(value)}
    if odd:
        listed = ", ".join(f"{name}={value}" for name, value in odd.items())
        return {}, {}, f"not finite: {listed}", seconds
    return values, notes, None, seconds


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:500]
