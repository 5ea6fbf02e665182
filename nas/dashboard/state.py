"""All runs the dashboard knows, read again on request."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nas.dashboard.reading.discovery import find_runs, keys_of
from nas.dashboard.reading.provisional import architecture_of, checked_architecture
from nas.dashboard.reading.run import RunReader, Snapshot
from nas.dashboard.view import View, place_of
from nas.figures.cloud import TrialColumns, columns_of
from nas.figures.front_points import baseline_name, baseline_value
from nas.figures.layer_costs import LatencyModel, fit_latency
from nas.figures.text import finite
from nas.front import Member
from nas.run_folder import RunFolder
from nas.study.trials import FinishedTrial
from search_spaces.architecture import Architecture

LOOK_AGAIN_S = 10.0
"""How often folders are searched for new runs."""
SHOWN_AT_FIRST = 8


class Chosen:
    """An architecture somebody clicked on.

    Attributes:
        run: its run.
        architecture: itself.
        member: of the front, with its trace; None where it is but a trial.
        trial: its trial; None where the journal does not have it.
        baseline: what is known of it where it is neither.
    """

    __slots__ = ("architecture", "baseline", "member", "run", "trial")

    def __init__(
        self,
        run: Snapshot,
        architecture: Architecture,
        member: Member | None,
        trial: FinishedTrial | None,
        baseline: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self.run, self.architecture = run, architecture
        self.member, self.trial, self.baseline = member, trial, baseline

    @property
    def text(self) -> str:
        """As ``View.point`` has it."""
        return f"{self.run.key}|{self.architecture.digest()}"


class State:
    """Every run under the named folders.

    Args:
        places: run folders, or folders of them.
    """

    def __init__(self, places: Sequence[Path]) -> None:
        self.places = tuple(places)
        self._lock = threading.RLock()
        self._readers: dict[str, RunReader] = {}
        self._looked = -LOOK_AGAIN_S
        self._columns: dict[str, tuple[FinishedTrial | None, TrialColumns]] = {}
        self._models: dict[str, tuple[int, LatencyModel | None]] = {}

    def runs(self) -> dict[str, Snapshot]:
        """All runs as they are now, by key."""
        with self._lock:
            self._look()
            return {key: reader.read() for key, reader in self._readers.items()}

    def version(self, keys: Sequence[str] = ()) -> str:
        """Another one means that something changed, of these runs or of any."""
        runs = self.runs()
        chosen = [key for key in keys if key in runs] or list(runs)
        return " ".join(f"{key}:{id(runs[key])}:{runs[key].log.changes}" for key in chosen)

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_AGAIN_S:
            return
        self._looked = now
        found = keys_of(find_runs(self.places))
        self._readers = {
            key: self._readers[key]
            if key in self._readers and self._readers[key].folder == folder
            else RunReader(key, folder)
            for key, folder in found.items()
        }

    def columns(self, run: Snapshot, place: int) -> TrialColumns:
        """The run's trials as columns."""
        with self._lock:
            trials = run.log.trials
            known = self._columns.get(run.key)
            # A journal that began anew has other first trials.
            if known is None or known[1].place != place or known[0] is not _first(trials):
                made = columns_of(trials, place)
            elif len(known[1].kind) == len(trials):
                return known[1]
            else:
                made = known[1].joined(columns_of(trials[len(known[1].kind) :], place))
            self._columns[run.key] = (_first(trials), made)
            return made

    def latency_model(self, run: Snapshot) -> LatencyModel | None:
        """How the profile's latency is made of blocks."""
        with self._lock:
            stored = run.content.predictor
            known = self._models.get(run.key)
            if known is None or known[0] != id(stored):
                known = (id(stored), fit_latency(stored) if stored else None)
                self._models[run.key] = known
            return known[1]

    def find(self, text: str) -> Chosen | None:
        """What ``View.point`` or ``View.pin`` names; None where there is no such thing (now)."""
        key, digest = place_of(text)
        run = self.runs().get(key)
        if run is None or not digest:
            return None
        if digest.startswith("*"):
            return _baseline(run, digest[1:])
        if digest.startswith("#"):
            number = int(digest[1:]) if digest[1:].isdecimal() and len(digest) < 12 else -1
            trial = run.log.trials[number] if 0 <= number < len(run.log.trials) else None
        else:
            trial = next((t for t in run.log.trials if t.digest == digest), None)
        wanted = trial.digest if trial is not None else digest
        member = next((m for m in run.front.members if m.digest == wanted), None)
        if member is not None:
            return Chosen(run, member.architecture, member, trial)
        architecture = None if trial is None else architecture_of(trial)
        return None if architecture is None else Chosen(run, architecture, None, trial)


def _baseline(run: Snapshot, name: str) -> Chosen | None:
    """The star of that name; None where nothing says what net it is."""
    for row in run.baselines:
        if baseline_name(row) != name:
            continue
        try:
            architecture = checked_architecture(row["architecture"])
        except Exception:  # it has none, or a damaged one
            continue
        values = {key: finite(baseline_value(row, key)) for key in row}
        known = {key: value for key, value in values.items() if value is not None}
        return Chosen(run, architecture, None, None, known)
    return None


def home_of(chosen: Chosen, runs: Mapping[str, Snapshot]) -> RunFolder | None:
    """The run that can export the member: its own, or of a merged front the one it came from, if
    that is among the runs of the page: a file may name any folder.
    """
    member = chosen.member
    if member is None or not chosen.run.verified:
        return None
    origin = member.origin if isinstance(member.origin, Mapping) else {}
    if not origin:
        return chosen.run.folder
    path = Path(str(origin.get("path", "")))
    for run in runs.values():
        folder = run.folder
        if folder.device == origin.get("device") and folder.path.resolve() == path.resolve():
            return folder
    return None


def shown_runs(state: State, view: View) -> list[Snapshot]:
    """The runs of a view; the first ones where it names none."""
    known = state.runs()
    keys = [key for key in view.runs if key in known] or list(known)[:SHOWN_AT_FIRST]
    return [known[key] for key in keys]


def _first(trials: Sequence[FinishedTrial]) -> FinishedTrial | None:
    return trials[0] if trials else None


def metrics_of(runs: Sequence[Snapshot]) -> list[str]:
    """Every metric that any of the runs knows, the usual ones first."""
    usual = ("accuracy", "latency_ms", "peak_memory_mb", "params", "macs")
    names: dict[str, Any] = {}
    for run in runs:
        for member in run.front.members[:5]:
            names |= dict.fromkeys(member.metrics)
        for trial in (*run.log.trials[:5], *run.log.trials[-5:]):
            names |= dict.fromkeys(trial.metrics)
    return [*(n for n in usual if n in names), *sorted(set(names) - set(usual))][:60]
