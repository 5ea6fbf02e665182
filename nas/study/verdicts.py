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
from datetime import UTC, datetime

from nas.evaluation import EvaluationStore
from nas.executors import Executor, Outcome
from nas.objectives import Objective, unmet
from nas.study.problem import SearchProblem, StudySpec
from nas.study.trials import Source
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What Optuna is told about a candidate, and why. Fields as in ``FinishedTrial``."""

    values: tuple[float, ...] = ()
    metrics: Mapping[str, float]
    violations: Mapping[str, float] = field(default_factory=dict)
    source: Source = "none"
    reason: str | None = None
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether there is nothing to tell."""
        return not self.values


class Judge:
    """Finds the verdicts of batches.

    Args:
        problem: gives the free metrics.
        spec: says what matters.
        store: knows what was paid for.
        executor: opened when something has to be paid for.
    """

    def __init__(
        self,
        problem: SearchProblem,
        spec: StudySpec,
        store: EvaluationStore,
        executor: Callable[[], Executor],
    ) -> None:
        self._problem = problem
        self._spec = spec
        self._store = store
        self._executor = executor
        self._free = [metric for metric in spec.metrics if metric.free]
        self._paid = [metric for metric in spec.metrics if not metric.free]

    def verdicts(
        self, architectures: Sequence[Architecture], should_stop: Callable[[], bool]
    ) -> Iterator[Verdict]:
        """The verdict of each, in their order whatever finishes first; fewer if stopped."""
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
        following = 0
        for outcome in self._outcomes(list(waiting), should_stop):
            if outcome is not None:
                for index in waiting[outcome.architecture]:
                    settled[index] = self._judge(outcome, free[index])
            while following in settled:
                yield settled.pop(following)
                following += 1

    def _outcomes(
        self, architectures: list[Architecture], should_stop: Callable[[], bool]
    ) -> Iterator[Outcome | None]:
        yield None  # what needs no evaluation does not wait for one
        if architectures:
            for outcome in self._executor().run(architectures, should_stop):
                yield self._keep(outcome)

    def _free_metrics(self, architectures: Sequence[Architecture]) -> list[dict[str, float]]:
        rows = [dict(row) for row in self._problem.free(architectures)]
        for row in rows:
            for metric in self._free:
                if metric.name not in row:
                    raise UserError(f"objective {metric.name!r}: nothing here can compute it")
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
        keys = [self._problem.key(architecture, metric.name) for metric in self._paid]
        known = self._store.get_many(keys)
        if len(known) < len(keys):
            return None
        paid = {key.metric: known[key].value for key in keys}
        return self._verdict({**free, **paid}, source="store")

    def _keep(self, outcome: Outcome) -> Outcome:
        """``outcome`` as the store has it: a value is safe before anything is made of it."""
        if outcome.error is not None:
            return outcome
        missing = [m.name for m in self._paid if m.name not in outcome.values]
        if missing:
            error = f"the evaluation gave no {', '.join(missing)}"
            return Outcome(architecture=outcome.architecture, error=error, seconds=outcome.seconds)
        provenance = {
            "kind": "measured",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(outcome.seconds, 4),
            **self._problem.provenance,
        }
        values = {
            name: self._store.put(
                self._problem.key(outcome.architecture, name), value, provenance
            ).value
            for name, value in outcome.values.items()
        }
        return Outcome(architecture=outcome.architecture, values=values, seconds=outcome.seconds)

    def _judge(self, outcome: Outcome, free: Mapping[str, float]) -> Verdict:
        if outcome.error is not None:
            return Verdict(metrics=dict(free), reason=outcome.error, seconds=outcome.seconds)
        return self._verdict(
            {**free, **outcome.values}, source="evaluated", seconds=outcome.seconds
        )

    def _verdict(
        self,
        metrics: Mapping[str, float],
        *,
        source: Source,
        reason: str | None = None,
        seconds: float = 0.0,
    ) -> Verdict:
        def booked(objective: Objective) -> float:
            return metrics.get(objective.name, objective.worst)

        return Verdict(
            values=tuple(map(booked, self._spec.objectives)),
            metrics=dict(metrics),
            violations={
                limit.objective.name: limit.violation(metrics[limit.objective.name])
                for limit in self._spec.limits
                if limit.objective.name in metrics
            },
            source=source,
            reason=reason,
            seconds=seconds,
        )


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
