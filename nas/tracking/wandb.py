"""Weights & Biases: one run per training and per search, offline where there is no account."""

from __future__ import annotations

import importlib
import logging
import netrc
import os
import sys
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.tracking.tracker import TRACKERS, Rows, Status, TrackedRun, Value
from search_spaces.errors import bad_value

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MODES = ("auto", "online", "offline")
INIT_S, FINISH_S = 20, 120  # how long a server may keep a run waiting, s
_loaded_by_us = False


@dataclass(frozen=True)
class Options:
    """Options of W&B; ``auto`` is online where an API key is found."""

    project: str = "formfinder"
    entity: str | None = None
    mode: str = "auto"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise bad_value("tracking.options.mode", self.mode, " | ".join(MODES))


@TRACKERS.register
class Wandb:
    name = "wandb"
    label = "Weights & Biases"
    summary = "Weights & Biases; offline without an account (wandb sync uploads it later)"
    options = Options
    keeps = True

    def start(self, run: TrackedRun, options: Options) -> WandbTracker:
        return WandbTracker(run, options)


class WandbTracker:
    """A run of W&B. Never prompts: it goes online only where a key is there already.

    Without the console, code, machine and system metrics: command lines may hold passwords, and
    a sampling process would disturb what is being timed.
    """

    def __init__(self, run: TrackedRun, options: Options) -> None:
        self._step, self._place = run.step, run.place
        self._notes: list[str] = []
        run.place.mkdir(parents=True, exist_ok=True)
        with _variables(run.place):
            self._wandb = _loaded()
            try:
                self._run = self._begun(run, options)
            except BaseException:
                self._end_service()
                raise

    def _begun(self, run: TrackedRun, options: Options) -> Any:
        """Online if that is wanted and possible, else offline."""
        mode = _mode(options)
        try:
            made = self._init(run, options, mode)
        except Exception as error:
            if mode != "online":
                raise
            self._notes.append(f"wandb cannot go online ({type(error).__name__})")
            self._end_service()  # it holds the id of the run that could not begin
            made = self._init(run, options, "offline")
        made.define_metric(run.step)
        made.define_metric("*", step_metric=run.step)
        return made

    def _init(self, run: TrackedRun, options: Options, mode: str) -> Any:
        settings = self._wandb.Settings(
            silent=True,
            console="off",
            save_code=False,
            disable_code=True,
            disable_git=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            init_timeout=INIT_S,
            finish_timeout=FINISH_S,
        )
        return self._wandb.init(
            project=options.project,
            entity=options.entity,
            mode=mode,
            id=run.id,
            resume="allow",
            reinit="create_new",  # a run that the caller has open stays his
            name=f"{run.title} {run.part}",
            group=run.title,
            job_type=run.kind,
            dir=str(run.place),
            config=dict(run.config),
            settings=settings,
        )

    def log(self, step: int, values: Mapping[str, Value]) -> None:
        known = {name: value for name, value in values.items() if value is not None}
        self._run.log({self._step: step, **known})

    def table(self, name: str, rows: Rows) -> None:
        data = [list(row) for row in rows.rows]
        with _variables(self._place):  # W&B stages tables as it does artifacts
            self._run.log({name: self._wandb.Table(columns=list(rows.columns), data=data)})

    def figure(self, name: str, figure: Figure) -> None:
        with _variables(self._place):
            self._run.log({f"figures/{name}": self._wandb.Plotly(figure)})

    def artifact(self, name: str, kind: str, files: Sequence[Path]) -> None:
        with _variables(self._place):
            made = self._wandb.Artifact(name, kind)
            for path in files:
                made.add_file(str(path))
            self._run.log_artifact(made)

    def finish(self, status: Status) -> str | None:
        with _variables(self._place):
            settings = self._run.settings
            offline, folder = settings.mode != "online", settings.sync_dir
            address = None if offline else self._run.url
            try:
                self._run.finish(exit_code=0 if status == "finished" else 1)
            finally:
                self._end_service()
        where = f"wandb sync {folder}" if offline and settings.mode == "offline" else address
        self._notes += [f"wandb: {where}"] if where else []
        return "; ".join(self._notes) or None

    def _end_service(self) -> None:
        """End W&B's process, unless whoever called us uses it too."""
        if _loaded_by_us:
            self._wandb.teardown()


def _loaded() -> Any:
    """The module; it takes seconds, so that it is imported when a run is to be told."""
    global _loaded_by_us
    _loaded_by_us = _loaded_by_us or "wandb" not in sys.modules
    return importlib.import_module("wandb")


def _mode(options: Options) -> str:
    """Online needs a key; without one W&B would ask for it, or raise."""
    asked = options.mode
    if asked == "auto":
        asked = os.environ.get("WANDB_MODE") or "online"
    if asked == "online" and not _has_key():
        return "offline"
    return asked


def _has_key() -> bool:
    """Whether the environment or a netrc file holds a key for the server; it is not looked at."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    base = os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"
    host = urllib.parse.urlsplit(base).hostname or ""
    named = os.environ.get("NETRC")
    paths = [Path(named)] if named else [Path("~/.netrc"), Path("~/_netrc")]
    for path in paths:
        try:
            found = netrc.netrc(path.expanduser()).authenticators(host)
        except (OSError, RuntimeError, netrc.NetrcParseError):
            continue
        if found and found[2]:
            return True
    return False


@contextmanager
def _variables(place: Path) -> Iterator[None]:
    """W&B's own places inside the run's folder: the home may be read-only, or another's."""
    wanted = {
        "WANDB_DATA_DIR": str(place / "wandb-data"),
        "WANDB_CACHE_DIR": str(place / "wandb-data"),
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_SILENT": "true",
    }
    home = Path(os.environ.get("WANDB_CONFIG_DIR") or Path("~/.config").expanduser())
    if not os.access(home, os.W_OK):
        wanted["WANDB_CONFIG_DIR"] = str(place / "wandb-data")
    set_here = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(set_here)
    shown, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        yield
    finally:
        logging.raiseExceptions = shown
        for handler in logging.getLogger("wandb").handlers:  # a full disk fails its log as well
            handler.setLevel(logging.CRITICAL + 1)
        for name in set_here:
            os.environ.pop(name, None)
