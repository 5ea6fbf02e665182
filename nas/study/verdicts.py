"""What each candidate of a batch is worth, paying as little as possible.

Free metrics come first. A candidate that breaks a limit on one of them is complete but not paid
for: Optuna needs values, so it is booked with each paid objective's ``worst`` and the relative
violation of the broken limit. Constrained domination ranks it behind every feasible trial and by
its violation among the others, so the sampler learns from it and never prefers it; a failed trial
would teach it nothing. What the evaluation store knows is not paid for again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nas.evaluation import EvaluationStore
from nas.executors import Executor
from nas.objectives import Objective, unmet, violations
from nas.study.first_look import FirstLook, Hurdle
from nas.study.paying import Cashier, Paid
from nas.study.problem import SearchProblem, StudySpec
from nas.study.trials import FinishedTrial, Source
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What Optuna is told about a candidate, and why. Fields as in ``FinishedTrial``; ``notes`` is
    what else its evaluation told, for samplers."""

    values: tuple[float, ...] = ()
    metrics: Mapping[str, float]
    partial: Mapping[str, float] = field(default_factory=dict)
    images: int = 0
    notes: Mapping[str, str] = field(default_factory=dict)
    violations: Mapping[str, float] = field(default_factory=dict)
    source: Source = "none"
    reason: str | None = None
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether there is nothing to tell."""
        return not self.values

    def part(self) -> dict[str, Any]:
        """What a record says of a partial look; nothing where there was none."""
        return {"partial": dict(self.partial), "images": self.images} if self.images else {}

    def noted(self) -> dict[str, Any]:
        """What a record says of the notes; nothing where there are none."""
        return {"notes": dict(self.notes)} if self.notes else {}


class Judge:
    """Finds the verdicts of batches.

    Args:
        problem: gives the free metrics.
        spec: says what matters.
        store: knows what was paid for.
        executor: opened when something has to be paid for.
        first_look: how much of the images hopeless candidates are shown; None: all.

    Attributes:
        looks_first: whether verdicts depend on the front.
    """

    def __init__(
        self,
        problem: SearchProblem,
        spec: StudySpec,
        store: EvaluationStore,
        executor: Callable[[], Executor],
        first_look: FirstLook | None = None,
    ) -> None:
        self._problem = problem
        self._spec = spec
        self._store = store
        self._free = [metric for metric in spec.metrics if metric.free]
        paid = [metric for metric in spec.metrics if not metric.free]
        if first_look is not None and not first_look.usable(spec.objectives, paid):
            first_look = None
        self._first_look = first_look
        self._cashier = Cashier(problem, paid, store, executor, first_look)

    @property
    def looks_first(self) -> bool:
        """See the class."""
        return self._first_look is not None

    def verdicts(
        self,
        architectures: Sequence[Architecture],
        should_stop: Callable[[], bool],
        front: Sequence[FinishedTrial] = (),
    ) -> Iterator[Verdict]:
        """The verdict of each, in their order whatever finishes first; fewer if stopped.

        Args:
            architectures: a batch.
            should_stop: once it says True nothing new is begun.
            front: feasible non-dominated trials before the batch, for the first look.
        """
        self._store.refresh()
        settled: dict[int, Verdict] = {}
        waiting: dict[Architecture, list[int]] = {}
        free = self._free_metrics(architectures)
        for index, architecture in enumerate(architectures):
            verdict = self._without_paying(architecture, free[index])
            if verdict is None:
                waiting.setdefault(architecture, []).append(index)
            else:
                settled[index] = verdict
        hurdles = self._hurdles({a: free[indices[0]] for a, indices in waiting.items()}, front)
        following = 0
        for paid in self._paid(hurdles, should_stop):
            if paid is not None:
                for index in waiting[paid.architecture]:
                    settled[index] = self._judge(paid, free[index])
            while following in settled:
                yield settled.pop(following)
                following += 1

    def _paid(
        self, hurdles: Mapping[Architecture, float], should_stop: Callable[[], bool]
    ) -> Iterator[Paid | None]:
        yield None  # what needs no evaluation does not wait for one
        if hurdles:
            yield from self._cashier.pay(hurdles, should_stop)

    def _hurdles(
        self, free: Mapping[Architecture, Mapping[str, float]], front: Sequence[FinishedTrial]
    ) -> dict[Architecture, float]:
        if self._first_look is None or not front:
            return dict.fromkeys(free, -math.inf)
        hurdle = Hurdle(front, self._spec.objectives, self._first_look.metric)
        return {architecture: hurdle.height(metrics) for architecture, metrics in free.items()}

    def _free_metrics(self, architectures: Sequence[Architecture]) -> list[dict[str, float]]:
        rows = [dict(row) for row in self._problem.free(architectures)]
        wanted = [metric.name for metric in self._free]
        wanted += [limit.metric for limit in self._spec.limits if limit.objective.free]
        for row in rows:
            for name in wanted:
                if name not in row:
                    raise UserError(f"objective {name!r}: nothing here can compute it")
        return rows

    def _without_paying(
        self, architecture: Architecture, free: Mapping[str, float]
    ) -> Verdict | None:
        odd = [m.name for m in self._free if not math.isfinite(free[m.name])]
        if odd:
            return Verdict(metrics=_finite(free), reason=f"not finite: {', '.join(odd)}")
        broken = unmet(self._spec.limits, free)
        if broken:
            reason = "not paid for: breaks " + ", ".join(map(str, broken))
            return self._verdict(free, source="none", reason=reason)
        known = self._cashier.known(architecture)
        if known is None:
            return None
        notes = self._cashier.notes(architecture)
        return self._verdict({**free, **known}, source="store", notes=notes)

    def _judge(self, paid: Paid, free: Mapping[str, float]) -> Verdict:
        if paid.error is not None:
            return Verdict(metrics=dict(free), reason=paid.error, seconds=paid.seconds)
        return self._verdict(
            {**free, **paid.values},
            partial=paid.partial,
            images=paid.images,
            notes=paid.notes,
            source=paid.source,
            seconds=paid.seconds,
        )

    def _verdict(
        self,
        metrics: Mapping[str, float],
        *,
        source: Source,
        partial: Mapping[str, float] | None = None,
        images: int = 0,
        notes: Mapping[str, str] | None = None,
        reason: str | None = None,
        seconds: float = 0.0,
    ) -> Verdict:
        told = {**(partial or {}), **metrics}

        def booked(objective: Objective) -> float:
            return told.get(objective.name, objective.worst)

        return Verdict(
            values=tuple(map(booked, self._spec.objectives)),
            metrics=dict(metrics),
            partial=dict(partial or {}),
            images=images,
            notes=dict(notes or {}),
            violations=violations(self._spec.limits, metrics),
            source=source,
            reason=reason,
            seconds=seconds,
        )


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
