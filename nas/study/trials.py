"""Finished trials as plain values, made of nothing but the journal's record."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from nas.objectives import Limit
from nas.pareto import Box, Direction, hypervolume, non_dominated, to_costs
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError

State = Literal["complete", "failed"]
Source = Literal["evaluated", "store", "none"]

# Numbers of Optuna's journal format that a record of a finished trial may hold.
COMPLETE, FAILED = 1, 3
CONSTRAINT_PREFIX = "constraints:"
BOX_AFTER = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedTrial:
    """One trial that is over.

    Attributes:
        number: its place in the study, from 0.
        state: ``complete``, or ``failed`` (the evaluation raised, hung, or gave no number).
        digest: the architecture's digest.
        architecture_json: its canonical JSON.
        values: what Optuna was told, one per objective; () where failed. Not paid means booked
            with the objective's ``worst``, a partial look with its estimate: use ``metrics`` to
            show numbers.
        metrics: every value that is known, by name.
        partial: estimates of paid metrics from a part of the images, where that was enough to
            know that a front member is better in everything; {} otherwise.
        images: how many images ``partial`` is of; 0 where there is none.
        violations: relative violation of each limit by metric, positive where broken; paid
            metrics that were not paid for are left out.
        source: where the paid metrics came from; ``none`` where nothing was paid for.
        reason: why it failed or was not paid for, None otherwise.
        seconds: of its evaluation, 0 where there was none, s.
        repairs: genes that were changed to make the proposal legal.
        hypervolume: of the study up to this trial; None before there is a scale for it.
    """

    number: int
    state: State
    digest: str
    architecture_json: str
    values: tuple[float, ...]
    metrics: Mapping[str, float]
    violations: Mapping[str, float]
    source: Source
    reason: str | None
    seconds: float
    repairs: tuple[str, ...]
    hypervolume: float | None = None
    partial: Mapping[str, float] = field(default_factory=dict)
    images: int = 0

    @property
    def architecture(self) -> Architecture:
        """The architecture itself."""
        return Architecture.from_dict(json.loads(self.architecture_json))

    @property
    def paid(self) -> bool:
        """Whether the paid metrics are known, be it from a part of the images."""
        return self.source != "none"

    @property
    def eligible(self) -> bool:
        """Whether it may stand on a front: feasible, and not only looked at in part."""
        return self.feasible and not self.images

    @property
    def feasible(self) -> bool:
        """Whether it is complete and keeps every limit."""
        return self.state == "complete" and all(v <= 0 for v in self.violations.values())

    @classmethod
    def from_record(cls, number: int, record: Mapping[str, Any]) -> FinishedTrial:
        """Read a journal record that creates a finished trial.

        Raises:
            UserError: the record was not written by a study of ours.
        """
        attrs = record.get("user_attrs", {})
        if "digest" not in attrs:
            raise UserError(f"study: trial {number} was not written by formfinder")
        values = record["values"] or ([] if record["value"] is None else [record["value"]])
        return cls(
            number=number,
            state="complete" if record["state"] == COMPLETE else "failed",
            digest=attrs["digest"],
            architecture_json=attrs["architecture"],
            values=tuple(values),
            metrics=dict(attrs["metrics"]),
            violations=violations_of(record),
            source=attrs["source"],
            reason=attrs["reason"],
            seconds=attrs["seconds"],
            repairs=tuple(attrs["repairs"]),
            partial=dict(attrs.get("partial", {})),
            images=attrs.get("images", 0),
        )


def violations_of(record: Mapping[str, Any]) -> dict[str, float]:
    """Violation by metric, from a record's system attributes, where Optuna keeps constraints."""
    return {
        key.removeprefix(CONSTRAINT_PREFIX): value
        for key, value in record["system_attrs"].items()
        if key.startswith(CONSTRAINT_PREFIX)
    }


def front_of(
    trials: Sequence[FinishedTrial], directions: Sequence[Direction]
) -> tuple[FinishedTrial, ...]:
    """The feasible non-dominated trials, each architecture once, ordered by the first objective."""
    once: dict[str, FinishedTrial] = {}
    for trial in trials:
        if trial.eligible:
            once.setdefault(trial.digest, trial)
    feasible = list(once.values())
    values = [trial.values for trial in feasible]
    mask = non_dominated(values, directions)
    members = [trial for trial, member in zip(feasible, mask, strict=True) if member]
    order = np.lexsort(to_costs([trial.values for trial in members], directions).T[::-1])
    return tuple(members[i] for i in order)


def nearest_misses(trials: Iterable[FinishedTrial], limits: Iterable[Limit]) -> list[str]:
    """For a study without a feasible trial: each limit that was never met, with the best seen."""
    lines = []
    seen = list(trials)
    for limit in limits:
        known = [trial.metrics[limit.metric] for trial in seen if limit.metric in trial.metrics]
        best = min(known, key=limit.violation, default=math.nan)
        if not limit.holds(best):
            lines.append(f"{limit}: the best of {len(known)} candidates has {best:.4g}")
    return lines


def since_moved(trials: Sequence[FinishedTrial]) -> int:
    """For how many of the last trials the hypervolume has stood still; 0 while it has no scale."""
    if not trials or trials[-1].hypervolume is None:
        return 0
    last = trials[-1].hypervolume
    still = itertools.takewhile(lambda trial: trial.hypervolume == last, reversed(trials))
    return sum(1 for _ in still) - 1


class Progress:
    """The hypervolume of a growing study, updated only where the front moves.

    Args:
        directions: of the objectives.
        box: the scale; None: around the first ``BOX_AFTER`` feasible trials, so that every reader
            of the same journal finds the same one.
    """

    def __init__(self, directions: Sequence[Direction], box: Box | None) -> None:
        self.directions = tuple(directions)
        self.box = box
        self._first: list[tuple[float, ...]] = []
        self._front: list[tuple[float, ...]] = []
        self._volume: float | None = None if box is None else 0.0

    def add(self, trial: FinishedTrial) -> FinishedTrial:
        """``trial`` with the hypervolume including it."""
        if trial.eligible and all(map(math.isfinite, trial.values)):
            joined = [*self._front, trial.values]
            mask = non_dominated(joined, self.directions)
            if mask[-1] and trial.values not in self._front:
                kept = zip(joined, mask, strict=True)
                self._front = [values for values, member in kept if member]
                self._measure()
            if self.box is None:
                self._first.append(trial.values)
                if len(self._first) == BOX_AFTER:
                    self.box = Box.around(self._first, self.directions)
                    self._measure()
        return replace(trial, hypervolume=self._volume)

    def _measure(self) -> None:
        if self.box is not None:
            self._volume = hypervolume(self._front, self.directions, self.box)
