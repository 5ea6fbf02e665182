"""Reading a study without running it: no Optuna, no torch, no lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.pareto import Box, Direction
from nas.study.journal import CREATE_TRIAL, meta_of, read_records
from nas.study.trials import FinishedTrial, Progress, front_of
from search_spaces.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecord:
    """A journal's content.

    Attributes:
        trials: in order, each with the hypervolume so far.
        objectives: name, label, unit and direction of each objective, in the order of ``values``.
        limits: hard limits by metric: a number, or a mapping of ``min``, ``max``, ``confidence``.
        identity: what makes it this study.
        box: scale of the hypervolume, None if there were too few feasible trials for one.
    """

    trials: tuple[FinishedTrial, ...]
    objectives: tuple[Mapping[str, str], ...]
    limits: Mapping[str, Any]
    identity: Mapping[str, Any]
    box: Box | None

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Of the objectives."""
        return tuple("max" if o["direction"] == "max" else "min" for o in self.objectives)

    @property
    def front(self) -> tuple[FinishedTrial, ...]:
        """Its feasible non-dominated trials."""
        return front_of(self.trials, self.directions)


def count_trials(path: Path) -> int:
    """Finished trials of a journal; 0 where there is none yet.

    Raises:
        UserError: it is no journal.
    """
    if not path.exists():
        return 0
    return sum(record["op_code"] == CREATE_TRIAL for record in read_records(path))


def read_study(path: Path) -> StudyRecord:
    """Read a journal, also one that is being written.

    Raises:
        UserError: it is no journal of ours.
    """
    records = list(read_records(path))
    meta = meta_of(records)
    if meta is None:
        raise UserError(f"{path}: not a study of formfinder")
    box = None if meta["box"] is None else Box(*map(tuple, meta["box"]))
    progress = Progress([o["direction"] for o in meta["objectives"]], box)
    created = [record for record in records if record["op_code"] == CREATE_TRIAL]
    trials = tuple(
        progress.add(FinishedTrial.from_record(number, record))
        for number, record in enumerate(created)
    )
    return StudyRecord(
        trials=trials,
        objectives=tuple(meta["objectives"]),
        limits=meta["identity"]["constraints"],
        identity=meta["identity"],
        box=progress.box,
    )
