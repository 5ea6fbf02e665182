"""The places for Ray actors: as many as were asked for, or as the cluster has room for.

Actors are never restarted by Ray: a lost one is replaced here, so that every attempt is counted
and every deadline is known.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from nas.executors.executor import Arrays, EvaluatorFactory, ExecutorOptions, Part
from nas.executors.ray_session import Session, seats_of, worker_environment
from nas.executors.ray_worker import Worker
from search_spaces.architecture import Architecture

FOLLOW_S = 1.0  # how often the cluster's size is looked at
MOVES = 10  # how often an evaluation may lose its node before that is held against it
_NODE_DIED = "its node has died"  # Ray's words; nothing else in the error tells it


@dataclass(eq=False, slots=True)
class Task:
    """One evaluation.

    Attributes:
        architecture: what.
        part: on which images.
        lost: how often its worker died.
        moved: how often its worker's machine went away.
    """

    architecture: Architecture
    part: Part
    lost: int = 0
    moved: int = 0

    def lose(self, ray: Any, failure: Exception) -> None:
        """Count a worker's death: as the evaluation's fault, unless the machine went away."""
        if node_is_gone(ray, failure) and self.moved < MOVES:
            self.moved += 1
        else:
            self.lost += 1


@dataclass(eq=False, slots=True)
class Seat:
    """A place for one actor and what it has to do, the running task first.

    Attributes:
        actor: its handle.
        starting: the reference of its start, None once it has started.
        since: when it began what it does now, monotonic s.
        tasks: with the references of their results.
    """

    actor: Any
    starting: Any | None
    since: float
    tasks: deque[tuple[Any, Task]] = field(default_factory=deque)

    @property
    def awaited(self) -> Any | None:
        """The reference that comes next from here."""
        if self.starting is not None:
            return self.starting
        return self.tasks[0][0] if self.tasks else None

    def give(self, task: Task) -> None:
        """Queue a task at the actor."""
        if not self.tasks:
            self.since = time.monotonic()
        self.tasks.append((self.actor.evaluate.remote(task.architecture, task.part), task))

    def take_back(self) -> list[Task]:
        """The tasks that were here, the running one first."""
        tasks = [task for _, task in self.tasks]
        self.tasks.clear()
        return tasks


class Seats:
    """All seats.

    Args:
        session: where actors live.
        factory: sent to every actor.
        shared: what the factory shares.
        options: workers and threads. Without ``workers`` the seats follow the cluster.
    """

    def __init__(
        self,
        session: Session,
        factory: EvaluatorFactory,
        shared: Arrays,
        options: ExecutorOptions,
    ) -> None:
        self._session = session
        self._factory = factory
        self._options = options
        # Kept here for as long as actors may start: Ray frees what nobody refers to.
        self._shared = session.ray.put(dict(shared))
        environment = None
        if not session.owner:
            environment = {"env_vars": worker_environment(options)}
        self._remote = session.ray.remote(Worker).options(
            num_cpus=options.threads, max_restarts=0, max_task_retries=0, runtime_env=environment
        )
        self._looked = time.monotonic()
        self.all: list[Seat] = [self._new() for _ in range(self._wanted())]

    @property
    def ready(self) -> list[Seat]:
        """Those whose actor has started."""
        return [seat for seat in self.all if seat.starting is None]

    @property
    def busy(self) -> bool:
        """Whether anything is being evaluated."""
        return any(seat.tasks for seat in self.all)

    def awaited(self) -> dict[Any, Seat]:
        """By the references that come next."""
        return {seat.awaited: seat for seat in self.all if seat.awaited is not None}

    def replace(self, seat: Seat) -> None:
        """Put a new actor into the place of ``seat``; its tasks must have been taken back."""
        self._session.ray.kill(seat.actor)
        self.all[self.all.index(seat)] = self._new()

    def follow(self) -> None:
        """Have as many seats as the cluster has room for; does nothing where it is fixed.

        A seat is given up only while it waits to be placed: once placed, it has room.
        """
        now = time.monotonic()
        if not self._session.elastic or now - self._looked < FOLLOW_S:
            return
        self._looked = now
        wanted = self._wanted()
        for seat in [seat for seat in reversed(self.all) if seat.starting is not None]:
            if len(self.all) > wanted:
                self._session.ray.kill(seat.actor)
                self.all.remove(seat)
        while len(self.all) < wanted:
            self.all.append(self._new())

    def close(self) -> None:
        """Kill the actors."""
        for seat in self.all:
            self._session.ray.kill(seat.actor)
        self.all = []

    def _wanted(self) -> int:
        return self._options.workers or seats_of(self._session.ray, self._options.threads)

    def _new(self) -> Seat:
        actor = self._remote.remote(self._options.threads)
        # In a list the reference travels as such, so that a failure to fetch it is the start's.
        starting = actor.start.remote(self._factory, [self._shared])
        return Seat(actor, starting, time.monotonic())


def node_is_gone(ray: Any, failure: Exception) -> bool:
    """Whether a worker was lost with its machine, or with the way to it."""
    return isinstance(failure, ray.exceptions.ActorUnavailableError) or _NODE_DIED in str(failure)
