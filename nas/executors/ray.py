"""Evaluate in Ray actors, each of which builds its evaluator once and keeps it.

A pool of our own rather than Ray Tune (a process per trial: 0.5 s and more) or ``ActorPool`` (hides
which actor failed). Actors are never restarted by Ray: a lost one is replaced here, so that every
attempt is counted and every deadline is known.
"""

from __future__ import annotations

import importlib.util
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from nas.executors.executor import EXECUTORS, EvaluatorFactory, ExecutorOptions, Outcome, Part
from nas.executors.ray_session import WITHOUT, start, worker_count, worker_environment
from nas.executors.ray_worker import Worker
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError

IN_FLIGHT = 2  # the second waits in the actor's queue, so that the actor never waits for us
START_TIMEOUT_S = 600.0
TICK_S = 0.2  # how long a request to stop may go unnoticed


@dataclass(eq=False, slots=True)
class _Task:
    architecture: Architecture
    part: Part
    lost: int = 0


@dataclass(eq=False, slots=True)
class _Seat:
    """A place for one actor and what it has to do, the running task first."""

    actor: Any
    starting: Any | None  # the reference of its start, None once it has started
    since: float  # when it began what it does now, monotonic s
    tasks: deque[tuple[Any, _Task]] = field(default_factory=deque)

    @property
    def awaited(self) -> Any | None:
        """The reference that comes next from here."""
        if self.starting is not None:
            return self.starting
        return self.tasks[0][0] if self.tasks else None


class RayExecutor:
    """An ``Executor`` on Ray.

    Args:
        factory: sent to every actor; names files by absolute paths.
        options: workers, time-out, retries, cluster.
        folder: working directory of the workers.

    Raises:
        UserError: Ray cannot be started or joined.
    """

    def __init__(self, factory: EvaluatorFactory, options: ExecutorOptions, folder: Path) -> None:
        self._factory = factory
        self._options = options
        self._ray, self._owner = start(options, folder)
        self._dead_starts = 0
        environment = None if self._owner else {"env_vars": worker_environment(options)}
        self._actor = self._ray.remote(Worker).options(
            num_cpus=1, max_restarts=0, max_task_retries=0, runtime_env=environment
        )
        self._seats = [self._seat() for _ in range(worker_count(options, self._ray))]

    def run(
        self,
        architectures: Sequence[Architecture],
        should_stop: Callable[[], bool],
        part: Part = "all",
    ) -> Iterator[Outcome]:
        """See ``Executor.run``."""
        queue = deque(_Task(architecture, part) for architecture in architectures)
        try:
            while True:
                if not should_stop():
                    self._hand_out(queue)
                busy = any(seat.tasks for seat in self._seats)
                if not busy and (not queue or should_stop()):
                    return
                awaited = {s.awaited: s for s in self._seats if s.awaited is not None}
                done, _ = self._ray.wait(list(awaited), num_returns=1, timeout=TICK_S)
                for reference in done:
                    yield from self._receive(awaited[reference], queue)
                yield from self._overdue(queue)
        finally:
            # Left in the middle (an error, a second Ctrl-C): nobody will fetch what they compute.
            for seat in [seat for seat in self._seats if seat.tasks]:
                self._replace(seat)

    def close(self) -> None:
        """Kill the actors; shut Ray down if it was started here."""
        if self._owner and self._ray.is_initialized():
            self._ray.shutdown()
        elif self._ray.is_initialized():
            for seat in self._seats:
                self._ray.kill(seat.actor)
        self._seats = []
        self._owner = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _seat(self) -> _Seat:
        actor = self._actor.remote(self._options.threads)
        return _Seat(actor, actor.start.remote(self._factory), time.monotonic())

    def _replace(self, seat: _Seat) -> None:
        self._ray.kill(seat.actor)
        self._seats[self._seats.index(seat)] = self._seat()

    def _hand_out(self, queue: deque[_Task]) -> None:
        ready = [seat for seat in self._seats if seat.starting is None]
        for depth, seat in itertools.product(range(IN_FLIGHT), ready):
            if queue and len(seat.tasks) == depth:
                task = queue.popleft()
                if not seat.tasks:
                    seat.since = time.monotonic()
                reference = seat.actor.evaluate.remote(task.architecture, task.part)
                seat.tasks.append((reference, task))

    def _receive(self, seat: _Seat, queue: deque[_Task]) -> Iterator[Outcome]:
        if seat.starting is not None:
            self._started(seat)
            return
        reference, task = seat.tasks[0]
        try:
            values, error, seconds = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as failure:
            raise _cause(failure) from failure
        except self._ray.exceptions.RayError as failure:
            yield from self._lost(seat, queue, failure)
            return
        seat.tasks.popleft()
        seat.since = time.monotonic()
        yield Outcome(architecture=task.architecture, values=values, error=error, seconds=seconds)

    def _started(self, seat: _Seat) -> None:
        try:
            self._ray.get(seat.starting)
        except self._ray.exceptions.RayTaskError as failure:
            raise _cause(failure) from failure
        except self._ray.exceptions.RayError as failure:
            self._dead_starts += 1
            if self._dead_starts > self._options.retries:
                raise UserError(
                    f"executor=ray: workers die while they start ({_short(failure)}); "
                    f"out of memory? Fewer executor.workers may help; {WITHOUT}"
                ) from failure
            self._replace(seat)
            return
        self._dead_starts = 0
        seat.starting = None

    def _lost(self, seat: _Seat, queue: deque[_Task], failure: Exception) -> Iterator[Outcome]:
        _, task = seat.tasks.popleft()
        task.lost += 1
        self._give_back(seat, queue)
        if task.lost <= self._options.retries:
            queue.appendleft(task)
            return
        error = f"its worker died {task.lost} times ({_short(failure)})"
        yield Outcome(architecture=task.architecture, error=error)

    def _overdue(self, queue: deque[_Task]) -> Iterator[Outcome]:
        now, limit = time.monotonic(), self._options.timeout_s
        for seat in list(self._seats):
            late = seat.starting is not None and now - seat.since > START_TIMEOUT_S
            # One that waits for a free CPU does no harm while others work.
            if late and all(other.starting is not None for other in self._seats):
                raise UserError(
                    f"executor=ray: no worker started within {START_TIMEOUT_S:g} s; "
                    f"has the cluster free CPUs? {WITHOUT}"
                )
            if seat.tasks and now - seat.since > limit:
                _, task = seat.tasks.popleft()
                self._give_back(seat, queue)
                error = f"timed out after {limit:g} s"
                yield Outcome(architecture=task.architecture, error=error, seconds=now - seat.since)

    def _give_back(self, seat: _Seat, queue: deque[_Task]) -> None:
        """Replace the actor; what was waiting behind its running task goes first again."""
        queue.extendleft(task for _, task in reversed(seat.tasks))
        seat.tasks.clear()
        self._replace(seat)


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

    def check(self) -> None:
        """See ``Opener.check``: whether Ray is installed, without importing it."""
        if importlib.util.find_spec("ray") is None:
            raise UserError(f"executor=ray: Ray is not installed; {WITHOUT}")

    def open(
        self, factory: EvaluatorFactory, options: ExecutorOptions, folder: Path
    ) -> RayExecutor:
        """See ``Opener.open``."""
        return RayExecutor(factory, options, folder)
