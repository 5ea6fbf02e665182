"""Evaluate in Ray actors, each of which builds its evaluator once and keeps it.

A pool of our own rather than Ray Tune (a process per trial: 0.5 s and more) or ``ActorPool`` (hides
which actor failed).
"""

from __future__ import annotations

import importlib.util
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from nas.executors.executor import EXECUTORS, EvaluatorFactory, ExecutorOptions, Outcome, Part
from nas.executors.ray_seats import Seat, Seats, Task, node_is_gone
from nas.executors.ray_session import WITHOUT, check_address, start
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError

IN_FLIGHT = 2  # the second waits in the actor's queue, so that the actor never waits for us
START_TIMEOUT_S = 600.0
TICK_S = 0.2  # how long a request to stop may go unnoticed


class RayExecutor:
    """An ``Executor`` on Ray, local or a cluster whose machines may come and go.

    Args:
        factory: sent to every actor; what it shares lies in Ray's object store, once a machine.
        options: workers, time-out, retries, cluster.
        folder: working directory of the workers.

    Raises:
        UserError: Ray cannot be started or joined.
    """

    def __init__(self, factory: EvaluatorFactory, options: ExecutorOptions, folder: Path) -> None:
        self._options = options
        shared = factory.shared()
        size = sum(array.nbytes for array in shared.values())
        self._session = start(options, folder, size)
        self._ray = self._session.ray
        self._dead_starts = 0
        try:
            self._seats = Seats(self._session, factory, shared, options)
        except BaseException:
            self._session.close()
            raise

    def run(
        self,
        architectures: Sequence[Architecture],
        should_stop: Callable[[], bool],
        part: Part = "all",
    ) -> Iterator[Outcome]:
        """See ``Executor.run``."""
        queue = deque(Task(architecture, part) for architecture in architectures)
        try:
            while True:
                self._seats.follow()
                if not should_stop():
                    self._hand_out(queue)
                if not self._seats.busy and (not queue or should_stop()):
                    return
                for seat in self._arrived():
                    yield from self._receive(seat, queue)
                yield from self._overdue(queue)
        finally:
            # Left in the middle (an error, a second Ctrl-C): nobody will fetch what they compute.
            for seat in [seat for seat in self._seats.all if seat.tasks]:
                self._seats.replace(seat)

    def close(self) -> None:
        """Kill the actors; shut Ray down, or leave the cluster, if that was begun here."""
        if self._ray.is_initialized():
            self._seats.close()
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _arrived(self) -> list[Seat]:
        """The seats from which something has come, within ``TICK_S``."""
        awaited = self._seats.awaited()
        references = list(awaited)
        self._ray.wait(references, num_returns=1, timeout=TICK_S)
        # All of them: the first in the list would starve the others.
        done, _ = self._ray.wait(references, num_returns=len(references), timeout=0)
        return [awaited[reference] for reference in done]

    def _hand_out(self, queue: deque[Task]) -> None:
        ready = self._seats.ready
        for depth, seat in itertools.product(range(IN_FLIGHT), ready):
            # The last ones wait here rather than behind a running one: the first free seat's.
            if len(queue) > depth * len(ready) and len(seat.tasks) == depth:
                seat.give(queue.popleft())

    def _receive(self, seat: Seat, queue: deque[Task]) -> Iterator[Outcome]:
        if seat.starting is not None:
            self._started(seat)
            return
        reference, task = seat.tasks[0]
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as failure:
            raise _cause(failure) from failure
        except self._ray.exceptions.RayError as failure:
            yield from self._lost(seat, queue, failure)
            return
        seat.tasks.popleft()
        seat.since = time.monotonic()
        yield Outcome.of(task.architecture, answer)

    def _started(self, seat: Seat) -> None:
        try:
            self._ray.get(seat.starting)
        except self._ray.exceptions.RayTaskError as failure:
            raise _cause(failure) from failure
        except self._ray.exceptions.RayError as failure:
            self._dead_starts += not node_is_gone(self._ray, failure)
            if self._dead_starts > self._options.retries:
                raise UserError(
                    f"executor=ray: workers die while they start ({_short(failure)}); "
                    f"out of memory? Fewer executor.workers may help; {WITHOUT}"
                ) from failure
            self._seats.replace(seat)
            return
        self._dead_starts = 0
        seat.starting = None

    def _lost(self, seat: Seat, queue: deque[Task], failure: Exception) -> Iterator[Outcome]:
        task = seat.tasks[0][1]
        task.lose(self._ray, failure)
        self._give_back(seat, queue)
        if task.lost > self._options.retries:
            queue.remove(task)
            error = f"its worker died {task.lost} times ({_short(failure)})"
            yield Outcome(architecture=task.architecture, error=error)

    def _overdue(self, queue: deque[Task]) -> Iterator[Outcome]:
        now, limit = time.monotonic(), self._options.timeout_s
        for seat in list(self._seats.all):
            late = seat.starting is not None and now - seat.since > START_TIMEOUT_S
            # One that waits for a free CPU does no harm while others work.
            if late and not self._seats.ready:
                raise UserError(
                    f"executor=ray: no worker started within {START_TIMEOUT_S:g} s; "
                    f"has the cluster free CPUs? {WITHOUT}"
                )
            if seat.tasks and now - seat.since > limit:
                _, task = seat.tasks.popleft()
                self._give_back(seat, queue)
                error = f"timed out after {limit:g} s"
                yield Outcome(architecture=task.architecture, error=error, seconds=now - seat.since)

    def _give_back(self, seat: Seat, queue: deque[Task]) -> None:
        """Replace the actor; what it had to do goes first again."""
        queue.extendleft(reversed(seat.take_back()))
        self._seats.replace(seat)


def _cause(failure: Any) -> Exception:
    cause = getattr(failure, "cause", None)
    if isinstance(cause, UserError):
        return UserError(str(cause))
    lines = [line for line in str(cause or failure).splitlines() if line.strip()]
    last = lines[-1].strip() if lines else type(failure).__name__
    return UserError(f"executor=ray: a worker cannot be set up: {last}")


def _short(failure: Exception) -> str:
    """The part of Ray's many lines that says why."""
    text = str(failure)
    detail = text.partition("Worker exit detail:")[2].strip().splitlines()
    lines = detail or [line.strip() for line in text.splitlines() if line.strip()][-1:]
    return f"{type(failure).__name__}: {' '.join(lines[:1])[:200]}"


@EXECUTORS.register
class RayOpener:
    """Registered as ``ray``."""

    name = "ray"
    label = "Ray"
    summary = "parallel evaluations in local processes or on a cluster, with time-out and retries"

    def check(self, options: ExecutorOptions) -> None:
        """See ``Opener.check``: is Ray installed, does something listen at the address?"""
        if importlib.util.find_spec("ray") is None:
            raise UserError(f"executor=ray: Ray is not installed; {WITHOUT}")
        if options.address is not None:
            check_address(options.address)

    def open(
        self, factory: EvaluatorFactory, options: ExecutorOptions, folder: Path
    ) -> RayExecutor:
        """See ``Opener.open``."""
        return RayExecutor(factory, options, folder)
