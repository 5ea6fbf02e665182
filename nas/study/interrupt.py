"""Ctrl-C as a request: what is in flight is finished and saved."""

from __future__ import annotations

import logging
import signal
import threading
import time
from types import FrameType
from typing import Any, Self

_log = logging.getLogger(__name__)


class Stopper:
    """Says when nothing new should be begun: the time is up, or Ctrl-C was pressed.

    A second Ctrl-C raises ``KeyboardInterrupt`` at once. Outside the main thread, where signals
    do not arrive, only the time counts.

    Args:
        minutes: from now on, min; None: no limit.
    """

    def __init__(self, minutes: float | None) -> None:
        self._end = None if minutes is None else time.monotonic() + 60 * minutes
        self._before: Any = None
        self.interrupted = False

    @property
    def late(self) -> bool:
        """Whether the time is up."""
        return self._end is not None and time.monotonic() >= self._end

    def __call__(self) -> bool:
        return self.interrupted or self.late

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
        _log.warning("stopping: what is in flight is finished first; Ctrl-C again stops at once")
