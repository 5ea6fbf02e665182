"""A study's journal, read as it grows: each refresh reads only what was appended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nas.dashboard.reading.files import inside, mapping, rows_of
from nas.dashboard.reading.records import checked, choices_of, parsed, seconds_of
from nas.pareto import Box, Direction, to_costs
from nas.study.journal import CREATE_TRIAL, STUDY_USER_ATTR
from nas.study.trials import FinishedTrial, Progress

MAX_LINE = 1_000_000
MAX_JOURNAL = 2_000_000_000
MAX_TRIALS = 200_000
_CHUNK = 16_000_000


@dataclass
class TrialLog:
    """What a journal holds so far.

    Args:
        path: of the journal; it need not exist yet.
        root: the run folder.

    Attributes:
        trials: in order, each with the hypervolume so far.
        genes: the gene choices of each trial, as indices by name.
        ended: when each trial ended, s since 1970; 0 where unknown.
        choices: what each gene can be, from the first trial.
        moves: (number of trials, values) of each trial that moved the front.
        objectives, limits, identity: of the study; empty before its header is read.
        skipped: lines that were no record of ours.
        changes: counts whatever changes, for caches.
    """

    path: Path
    root: Path
    trials: list[FinishedTrial] = field(default_factory=list)
    genes: list[dict[str, int]] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    choices: dict[str, list[str]] = field(default_factory=dict)
    moves: list[tuple[int, tuple[float, ...]]] = field(default_factory=list)
    objectives: tuple[Mapping[str, Any], ...] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)
    box: Box | None = None
    skipped: int = 0
    changes: int = 0
    _offset: int = 0
    _inode: int = 0
    _progress: Progress | None = None
    _front_FM: Any = None

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Of the objectives."""
        return tuple("max" if o.get("direction") == "max" else "min" for o in self.objectives)

    @property
    def failed(self) -> int:
        """Trials whose evaluation failed."""
        return sum(trial.state == "failed" for trial in self.trials)

    def update(self) -> bool:
        """Read what is new. Returns whether anything was."""
        try:
            stat = self.path.stat()
        except OSError:
            return self._restart(0) if self._inode else False
        if not inside(self.path, self.root) or stat.st_size > MAX_JOURNAL:
            return False
        if stat.st_ino != self._inode or stat.st_size < self._offset:
            self._restart(stat.st_ino)
        if stat.st_size == self._offset:
            return False
        before = self._offset
        with self.path.open("rb") as file:
            file.seek(self._offset)
            while self._take(file.read(_CHUNK)):
                file.seek(self._offset)
        self.changes += self._offset != before
        return self._offset != before

    def _restart(self, inode: int) -> bool:
        fresh = TrialLog(self.path, self.root)
        for name in self.__dataclass_fields__:
            if name != "changes":
                setattr(self, name, getattr(fresh, name))
        self._inode = inode
        self.changes += 1
        return True

    def _take(self, data: bytes) -> bool:
        """Read the whole lines of ``data``; whether there may be more behind them."""
        end = data.rfind(b"\n") + 1
        if not end:
            # A line longer than what is read at once is not ours; a shorter one may be unfinished.
            self._offset += len(data) if len(data) == _CHUNK else 0
            return len(data) == _CHUNK
        for line in data[:end].split(b"\n"):
            if line:
                self._line(line)
        self._offset += end
        return len(data) == _CHUNK

    def _line(self, line: bytes) -> None:
        try:
            if len(line) > MAX_LINE or len(self.trials) >= MAX_TRIALS:
                raise ValueError("too much")
            record = parsed(line, keep=not self.choices)
            code = record["op_code"]
            if code == STUDY_USER_ATTR:
                self._header(record)
            elif code == CREATE_TRIAL:
                self._trial(record)
        except Exception:  # a damaged line costs itself, not the page
            self.skipped += 1

    def _header(self, record: Mapping[str, Any]) -> None:
        meta = mapping(record["user_attr"]).get("formfinder")
        if not isinstance(meta, Mapping) or self.objectives:
            return
        objectives = tuple(mapping(o) for o in rows_of(meta["objectives"])[:8])
        identity = mapping(meta.get("identity"))
        box = None if meta["box"] is None else Box(*(tuple(map(float, c)) for c in meta["box"]))
        self._progress = Progress(
            ["max" if o.get("direction") == "max" else "min" for o in objectives], box
        )
        self.objectives, self.identity, self.box = objectives, identity, box
        self.limits = mapping(identity.get("constraints"))

    def _trial(self, record: dict[str, Any]) -> None:
        if self._progress is None:
            raise ValueError("a trial in front of the header")
        trial = checked(FinishedTrial.from_record(len(self.trials), record), len(self.objectives))
        if not self.choices:
            self.choices = choices_of(record)
        self.trials.append(self._placed(trial))
        self.genes.append(
            {str(k): v for k, v in mapping(record.get("params")).items() if type(v) is int}
        )
        self.ended.append(seconds_of(record.get("datetime_complete")))

    def _placed(self, trial: FinishedTrial) -> FinishedTrial:
        """With the hypervolume so far; what a front member is better than moves nothing."""
        assert self._progress is not None
        if trial.eligible and trial.values:
            costs_M = to_costs(trial.values, self.directions)
            front_FM = self._front_FM
            beaten = front_FM is not None and bool((front_FM <= costs_M).all(axis=1).any())
            if not beaten:
                self._join(costs_M)
                self.moves.append((len(self.trials) + 1, trial.values))
            elif self._progress.box is not None:
                return self._quietly(trial)
        elif self._progress.box is not None:
            return self._quietly(trial)
        placed = self._progress.add(trial)
        self.box = self._progress.box
        return placed

    def _quietly(self, trial: FinishedTrial) -> FinishedTrial:
        last = self.trials[-1].hypervolume if self.trials else 0.0
        # The dataclass is frozen; copying its 17 fields is what 20,000 trials would wait for.
        object.__setattr__(trial, "hypervolume", last)
        return trial

    def _join(self, costs_M: Any) -> None:
        front_FM = self._front_FM
        if front_FM is None:
            self._front_FM = costs_M[None]
            return
        stays_F = ~(costs_M <= front_FM).all(axis=1)
        self._front_FM = np.concatenate([front_FM[stays_F], costs_M[None]])
