"""A training or search as it is told to the chosen tracker and, always, to files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.config import RunConfig, to_dict
from nas.display import Display
from nas.tracking.guard import Guard, without_secrets
from nas.tracking.mark import Mark
from nas.tracking.tracker import (
    TRACKERS,
    Rows,
    Status,
    TrackedRun,
    Tracker,
    TrackerKind,
    Value,
    read_options,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from nas.run import Run
    from nas.study import FinishedTrial

Steps = Iterable[tuple[int, Mapping[str, Value]]]


class Tracking:
    """The trackers of one command. One that failed stays off until the command is over."""

    def __init__(self, config: RunConfig, display: Display) -> None:
        chosen = TRACKERS[config.tracking.name]
        options = read_options(chosen.options, config.tracking.options)
        files = TRACKERS["none"]
        self._kinds: list[tuple[TrackerKind, Any]] = [(files, files.options())]
        if chosen.name != files.name:
            self._kinds.append((chosen, options))
        self._guards = {kind.name: Guard(kind.name, display.line) for kind, _ in self._kinds}

    @contextmanager
    def training(self, job: Run) -> Iterator[Session]:
        """Track the training of ``job``."""
        log = job.folder.training_log
        run = _about(job, "training", "training", "epoch")
        with self._session(run, lambda: _epochs(log)) as session:
            yield session

    @contextmanager
    def searching(self, job: Run) -> Iterator[Session]:
        """Track the search of ``job``, its verification and its results."""
        journal, device = job.folder.study, job.folder.device
        part = "search" if device is None else f"search-{device}"
        run = _about(job, "search", part, "trial")
        with self._session(run, lambda: _trials(journal)) as session:
            yield session

    @contextmanager
    def _session(self, run: TrackedRun, earlier: Callable[[], Steps]) -> Iterator[Session]:
        outlets = [
            Outlet(kind, options, run, self._guards[kind.name]) for kind, options in self._kinds
        ]
        session, status = Session(outlets, earlier), "failed"
        try:
            yield session
            status = "finished"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            session.finish(status)  # type: ignore[arg-type]


class Session:
    """What the steps of a run talk to; nothing it does raises."""

    def __init__(self, outlets: Sequence[Outlet], earlier: Callable[[], Steps]) -> None:
        self.outlets = outlets
        self._earlier = earlier
        self._caught_up = False

    def epoch(self, values: Mapping[str, Value]) -> None:
        """One line of ``training.jsonl``."""
        self._log(*_epoch(values))

    def trial(self, trial: FinishedTrial) -> None:
        """A finished trial."""
        self._log(trial.number, trial_values(trial))

    def finish(self, status: Status) -> None:
        """Close what was opened; a finished step is told whole, also to a tracker new to it."""
        if status == "finished":
            self.catch_up(None)
        for outlet in self.outlets:
            outlet.finish(status)

    def catch_up(self, before: int | None) -> None:
        """Tell steps of earlier starts, once, to trackers that do not know them."""
        if self._caught_up:
            return
        self._caught_up = True
        for outlet in self.outlets:
            with outlet.guard():
                for step, values in self._earlier():
                    if before is None or step < before:
                        outlet.log(step, values)

    def _log(self, step: int, values: Mapping[str, Value]) -> None:
        self.catch_up(step)
        for outlet in self.outlets:
            outlet.log(step, values)


class Outlet:
    """One tracker in one session, opened when there is something new to tell it."""

    def __init__(self, kind: TrackerKind, options: Any, run: TrackedRun, guard: Guard) -> None:
        self.guard = guard
        self.keeps = kind.keeps
        self._kind, self._options, self._run = kind, options, run
        self._tracker: Tracker | None = None
        self._path = run.place / f"{kind.name}.{run.part}.json"
        self._mark = Mark.load(self._path) if kind.keeps else Mark("")

    def log(self, step: int, values: Mapping[str, Value]) -> None:
        """Values of a step, unless an earlier start told them."""
        if self.guard.on and (step >= self._mark.steps or not self.keeps):
            with self.guard():
                self._opened().log(step, values)
                self._mark.steps = step + 1
                self._save()

    def wants(self, results: str) -> bool:
        """Whether results of this hash are news."""
        return self.guard.on and (not self.keeps or self._mark.results != results)

    def table(self, name: str, rows: Rows) -> None:
        with self.guard():
            self._opened().table(name, rows)

    def figure(self, name: str, figure: Figure) -> None:
        with self.guard():
            self._opened().figure(name, figure)

    def artifact(self, name: str, kind: str, files: Sequence[Path]) -> None:
        with self.guard():
            self._opened().artifact(name, kind, files)

    def told(self, results: str) -> None:
        """The results of this hash were handed over."""
        if self.guard.on:
            with self.guard():
                self._mark.results = results
                self._save()

    def finish(self, status: Status) -> None:
        """Close the tracker, also one that failed: it may have processes."""
        if self._tracker is not None:
            with self.guard():
                said = self._tracker.finish(status)
                if said and self.guard.on:
                    self.guard.say(without_secrets(said))

    def _opened(self) -> Tracker:
        if self._tracker is None:
            self._save()  # first of all: where this cannot be kept, the next start would repeat it
            run = replace(self._run, id=self._mark.id, first=self._mark.steps)
            self._tracker = self._kind.start(run, self._options)
        return self._tracker

    def _save(self) -> None:
        if self.keeps:
            self._mark.save(self._path)


def trial_values(trial: FinishedTrial) -> dict[str, Value]:
    """A trial as one flat row: what is not known is missing."""
    estimates = {f"{name}_estimate": value for name, value in trial.partial.items()}
    return {
        "state": trial.state,
        "feasible": trial.feasible,
        "source": trial.source,
        **trial.metrics,
        **estimates,
        "hypervolume": trial.hypervolume,
        "seconds": trial.seconds,
        "digest": trial.digest,
        "reason": trial.reason,
    }


def _about(job: Run, kind: str, part: str, step: str) -> TrackedRun:
    folder = job.folder
    return TrackedRun(
        kind=kind,  # type: ignore[arg-type]
        title=folder.path.resolve().name,
        id="",
        part=part,
        folder=folder.path if kind == "training" else folder.found,
        place=folder.path / "tracking",
        step=step,
        first=0,
        config=_masked(to_dict(job.config)),
    )


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _masked(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(inner) for inner in value]
    return without_secrets(value) if isinstance(value, str) else value


def _epochs(log: Path) -> Steps:
    if log.exists():
        for line in log.read_text(encoding="utf-8").splitlines():
            yield _epoch(json.loads(line))


def _epoch(values: Mapping[str, Value]) -> tuple[int, Mapping[str, Value]]:
    rest = {name: value for name, value in values.items() if name != "epoch"}
    return int(values["epoch"] or 0), rest


def _trials(journal: Path) -> Steps:
    from nas.study.reading import read_study

    if journal.exists():
        for trial in read_study(journal).trials:
            yield trial.number, trial_values(trial)
