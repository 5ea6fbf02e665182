"""Work in separate processes: what needs torch is never done in the dashboard's own."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.figures.text import cleaned
from search_spaces.errors import UserError

MAX_RUNNING = 2
MAX_KEPT = 50
_MAIN = "import sys; from nas.cli import main; sys.exit(main())"


@dataclass(frozen=True, slots=True)
class Job:
    """A process somebody asked for.

    Attributes:
        key: unguessable.
        what: in words.
        target: the folder where its files appear.
        process: itself.
        log: what it said.
    """

    key: str
    what: str
    target: Path
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def state(self) -> str:
        """``running``, ``done`` or ``failed``."""
        code = self.process.poll()
        return "running" if code is None else "failed" if code else "done"

    def said(self) -> str:
        """Its last words."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace")[-4000:].splitlines()
        except OSError:
            return ""
        return next((cleaned(line, 300) for line in reversed(lines) if line.strip()), "")


class Jobs:
    """The processes of this dashboard; they end with it."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="formfinder-dashboard-")
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where results are kept while the dashboard runs."""
        return Path(self._temporary.name)

    def start_cli(self, what: str, words: Sequence[str], target: Path) -> Job:
        """Run ``formfinder WORDS``."""
        return self._start(what, [sys.executable, "-c", _MAIN, *words], target)

    def start_module(self, what: str, module: str, words: Sequence[str], target: Path) -> Job:
        """Run ``python -m MODULE WORDS``."""
        return self._start(what, [sys.executable, "-m", module, *words], target)

    def _start(self, what: str, command: list[str], target: Path) -> Job:
        with self._lock:
            if sum(job.state == "running" for job in self._jobs.values()) >= MAX_RUNNING:
                raise UserError(f"{MAX_RUNNING} processes are running already; wait for one")
            while len(self._jobs) >= MAX_KEPT:
                self._jobs.pop(next(iter(self._jobs)))
            key = secrets.token_urlsafe(12)
            log = self.folder / f"{key}.log"
            with log.open("wb") as file:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "TERM": "dumb", "NO_COLOR": "1"},
                )
            job = Job(key, what, target, process, log)
            self._jobs[key] = job
            return job

    def get(self, key: object) -> Job | None:
        """The job of this key."""
        return self._jobs.get(key) if isinstance(key, str) else None

    def close(self) -> None:
        """End what still runs and remove what was kept."""
        for job in self._jobs.values():
            if job.process.poll() is None:
                job.process.terminate()
                try:
                    job.process.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    job.process.kill()
                    job.process.wait()
        self._temporary.cleanup()
