"""Paying for evaluations: never twice, and for no more images than are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from nas.evaluation import Evaluation, EvaluationStore
from nas.executors import Executor, Outcome
from nas.objectives import Objective
from nas.study.first_look import FirstLook
from nas.study.problem import SearchProblem
from nas.study.trials import Source
from search_spaces.architecture import Architecture

NOTES = "notes"  # where provenance keeps them
Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """What an architecture turned out to be worth.

    Attributes:
        architecture: which.
        values: the paid metrics; empty where it failed or was only looked at in part.
        partial: the paid metrics on a part of the images, where that was enough.
        images: how many images ``partial`` is of; 0 where there is none.
        notes: what else the evaluation told, texts by name.
        source: where that came from.
        error: why it failed, None where it did not.
        seconds: of evaluation, s.
    """

    architecture: Architecture
    values: Mapping[str, float] = field(default_factory=dict)
    partial: Mapping[str, float] = field(default_factory=dict)
    images: int = 0
    notes: Mapping[str, str] = field(default_factory=dict)
    source: Source = "evaluated"
    error: str | None = None
    seconds: float = 0.0


class Cashier:
    """Pays for the metrics that are not free.

    Args:
        problem: says where values are kept.
        metrics: what has to be paid for.
        store: told of every value before anything is made of it.
        executor: opened when something has to be paid for.
        first_look: None: every look is a full one.
    """

    def __init__(
        self,
        problem: SearchProblem,
        metrics: Sequence[Objective],
        store: EvaluationStore,
        executor: Callable[[], Executor],
        first_look: FirstLook | None,
    ) -> None:
        self._problem = problem
        self._names = [metric.name for metric in metrics]
        self._store = store
        self._executor = executor
        self._first_look = first_look

    def known(self, architecture: Architecture) -> dict[str, float] | None:
        """All paid metrics, if the store has them."""
        keys = [self._problem.key(architecture, name) for name in self._names]
        known = self._store.get_many(keys)
        return {key.metric: known[key].value for key in keys} if len(known) == len(keys) else None

    def notes(self, architecture: Architecture) -> dict[str, str]:
        """What the store keeps beside the paid metrics."""
        keys = [self._problem.key(architecture, name) for name in self._names]
        return _notes(self._store.get_many(keys).values())

    def pay(self, hurdles: Mapping[Architecture, float], should_stop: Stop) -> Iterator[Paid]:
        """Evaluate architectures that the store does not know, in any order.

        Args:
            hurdles: each with what it has to be able to reach to be worth a full look.
            should_stop: once it says True nothing new is begun.
        """
        look = self._first_look
        high = [a for a, height in hurdles.items() if look is not None and height > 0]
        promising: dict[Architecture, Paid] = {}
        if look is not None and high:
            for first in self._first(look, high, should_stop):
                enough = first.error is not None or (
                    look.most(first.partial[look.metric]) < hurdles[first.architecture]
                )
                if enough:
                    yield first
                else:
                    promising[first.architecture] = first
            yield from self._rest(look, promising, should_stop)
        others = [architecture for architecture in hurdles if architecture not in set(high)]
        if others:
            for outcome in self._executor().run(others, should_stop):
                yield self._whole(outcome)

    def _first(
        self, look: FirstLook, architectures: Sequence[Architecture], should_stop: Stop
    ) -> Iterator[Paid]:
        keys = {architecture: look.key(architecture) for architecture in architectures}
        known = self._store.get_many(keys.values())
        asked = []
        for architecture, key in keys.items():
            if key in known:
                yield Paid(
                    architecture=architecture,
                    partial={look.metric: known[key].value},
                    images=look.images,
                    notes=_notes([known[key]]),
                    source="store",
                )
            else:
                asked.append(architecture)
        if asked:
            for outcome in self._executor().run(asked, should_stop, "first"):
                yield self._part(look, outcome)

    def _part(self, look: FirstLook, outcome: Outcome) -> Paid:
        failed = self._failure(outcome)
        if failed is not None:
            return failed
        key = look.key(outcome.architecture)
        provenance = self._provenance(outcome) | {"images": look.images}
        value = self._store.put(key, outcome.values[look.metric], provenance).value
        return Paid(
            architecture=outcome.architecture,
            partial={look.metric: value},
            images=look.images,
            notes=outcome.notes,
            seconds=outcome.seconds,
        )

    def _rest(
        self, look: FirstLook, firsts: Mapping[Architecture, Paid], should_stop: Stop
    ) -> Iterator[Paid]:
        """Go on where the first look ended, so that no image is looked at twice."""
        if not firsts:
            return
        for outcome in self._executor().run(list(firsts), should_stop, "rest"):
            if look.metric in outcome.values:
                first = firsts[outcome.architecture]
                share = look.whole(first.partial[look.metric], outcome.values[look.metric])
                outcome = replace(
                    outcome,
                    values={look.metric: share},
                    notes=first.notes,
                    seconds=first.seconds + outcome.seconds,
                )
            yield self._whole(outcome)

    def _whole(self, outcome: Outcome) -> Paid:
        failed = self._failure(outcome)
        if failed is not None:
            return failed
        provenance = self._provenance(outcome)
        values = {
            name: self._store.put(
                self._problem.key(outcome.architecture, name), value, provenance
            ).value
            for name, value in outcome.values.items()
        }
        return Paid(
            architecture=outcome.architecture,
            values=values,
            notes=outcome.notes,
            seconds=outcome.seconds,
        )

    def _failure(self, outcome: Outcome) -> Paid | None:
        error = outcome.error
        missing = [name for name in self._names if name not in outcome.values]
        if error is None and missing:
            error = f"the evaluation gave no {', '.join(missing)}"
        if error is None:
            return None
        return Paid(architecture=outcome.architecture, error=error, seconds=outcome.seconds)

    def _provenance(self, outcome: Outcome) -> dict[str, Any]:
        return {
            "kind": "measured",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(outcome.seconds, 4),
            **self._problem.provenance,
            **({NOTES: dict(outcome.notes)} if outcome.notes else {}),
        }


def _notes(known: Iterable[Evaluation]) -> dict[str, str]:
    """Of evaluations in the store."""
    return {n: t for one in known for n, t in one.provenance.get(NOTES, {}).items()}
