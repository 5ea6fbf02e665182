"""Waiting no longer than one wants to for what offers no time-out of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue


def within(seconds: float, work: Callable[[], object]) -> None:
    """Do ``work`` in a thread, which is left behind where it takes longer than ``seconds``.

    Raises:
        TimeoutError: it took longer.
        BaseException: what ``work`` raised.
    """
    results: SimpleQueue[BaseException | None] = SimpleQueue()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            results.put(error)
        else:
            results.put(None)

    threading.Thread(target=run, name="deadline", daemon=True).start()
    try:
        failure = results.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    if failure is not None:
        raise failure
