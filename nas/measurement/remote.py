"""Measure on a node of a Ray cluster that is labelled as a device, alone there, threads pinned.

A node is labelled when it joins::

    ray start --address=HEAD:6379 --resources='{"formfinder_device_pi5": 1}'

There is one of the resource, so profiles are measured one at a time; the actor takes all CPUs of
the node beside it, so nothing else is scheduled there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from nas.executors.executor import ExecutorOptions
from nas.executors.ray_session import check_address, start, worker_environment
from nas.hardware.machine import Machine
from nas.hardware.profile import HardwareProfile
from nas.measurement.block import Item, Opener, Session
from nas.measurement.records import Failure, Measurement
from nas.measurement.slot import Plan
from nas.runtimes.base import RUNTIMES, Runtime
from search_spaces.architecture import Architecture
from search_spaces.errors import UserError

RESOURCE = "formfinder_device_"
RETRIES = 3  # new beginnings after a loss in the middle of one profile
START_TIMEOUT_S = 600.0

Rows = list[Measurement | Failure]


class Bench:
    """What runs inside the actor: a session of the measuring protocol."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._num_classes = 0

    def open(
        self, profile: HardwareProfile, plan: Plan, seed: int, num_classes: int
    ) -> tuple[Machine, Plan]:
        """Begin; what the machine is, and the plan as the runtime wants it.

        Raises:
            UserError: the profile cannot be measured here.
        """
        from nas.hardware.device import check_profile

        check_profile(profile)
        cores = _pin(profile.threads)
        session = Session(profile, RUNTIMES[profile.runtime], plan, seed)
        session.machine = replace(session.machine, cores=cores or session.machine.cores)
        self._session, self._num_classes = session, num_classes
        return session.machine, session.plan

    def measure(
        self, architectures: Sequence[Architecture], level_ms: float | None
    ) -> tuple[Rows, int, float | None]:
        """Rows of the first of them, how many were taken, and the drift level."""
        from functools import partial

        from supernet.extract import build_model

        assert self._session is not None, "open comes first"
        self._session.level_ms = level_ms
        items = [(one, partial(build_model, one, self._num_classes)) for one in architectures]
        rows, taken = self._session.measure(items)
        return rows, taken, self._session.level_ms


def _pin(threads: int) -> int:
    """Bind this process to so many cores; how many it might use before, 0 where none can tell."""
    import torch

    torch.set_num_threads(threads)
    if not hasattr(os, "sched_setaffinity"):
        return 0
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[:threads])
    return len(allowed)


class RemoteSession(Session):
    """A ``Session`` whose models run on the labelled node.

    Args:
        ray: the module, joined to the cluster.
        num_classes: outputs of the models that are built there; latency needs no weights.
        environment: of the actor's process.
        profile, plan, seed, level_ms: as of ``Session``.
    """

    def __init__(
        self,
        ray: Any,
        num_classes: int,
        environment: dict[str, str],
        profile: HardwareProfile,
        plan: Plan,
        seed: int,
        level_ms: float | None = None,
    ) -> None:
        self._ray = ray
        self._asked = (profile, plan, seed, num_classes)
        self._environment = environment
        self._gone: set[str] = set()
        self._tries = RETRIES
        self.level_ms = level_ms
        try:
            self.machine, self.plan = self._open(labelled(ray, profile.name)[0])
        except ray.exceptions.RayError as failure:
            label = RESOURCE + profile.name
            raise UserError(
                f"hardware={profile.name!r}: the node with {label} does not begin to measure "
                f"({type(failure).__name__}); is it busy with another profile?"
            ) from failure

    def __exit__(self, *exc: object) -> None:
        self._ray.kill(self._actor)

    def __enter__(self) -> Self:
        return self

    def measure(self, items: Sequence[Item]) -> tuple[Rows, int]:
        """See ``Session.measure``; a lost node's block is measured again on the next such node.

        Raises:
            UserError: no node of that label is left, or it is another machine.
        """
        architectures = [architecture for architecture, _ in items]
        while True:
            try:
                call = self._actor.measure.remote(architectures, self.level_ms)
                rows, taken, self.level_ms = self._ray.get(call)
                return rows, taken
            except self._ray.exceptions.RayTaskError as failure:
                raise _cause(failure) from failure
            except self._ray.exceptions.RayError as failure:
                self._reopen(failure)

    def _reopen(self, failure: Exception) -> None:
        """Go on on a labelled node; the same one, if only the process was lost."""
        name = self._asked[0].name
        while self._tries:
            self._tries -= 1
            left = [n for n in labelled(self._ray, name) if n["NodeID"] not in self._gone]
            if not left:
                break
            self._ray.kill(self._actor)
            try:
                machine, self.plan = self._open(left[0])
            except self._ray.exceptions.RayError:
                self._gone.add(left[0]["NodeID"])  # the cluster may believe in it for a while
                continue
            self._check_same(machine)
            return
        raise UserError(
            f"hardware={name!r}: the node with {RESOURCE}{name} was lost "
            f"({type(failure).__name__}); what was measured is kept, the same command goes on "
            "from there once it is back"
        ) from failure

    def _check_same(self, machine: Machine) -> None:
        if not machine.same_as(self.machine):
            name = self._asked[0].name
            raise UserError(
                f"hardware={name!r}: the node was lost, and the other one with {RESOURCE}{name} is "
                f"{machine.processor} with {machine.versions}, not {self.machine.processor} with "
                f"{self.machine.versions}; label it otherwise"
            )

    def _open(self, node: dict[str, Any]) -> tuple[Machine, Plan]:
        """Put the actor on a labelled node and begin there."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._actor = (
            self._ray.remote(Bench)
            .options(
                num_cpus=node["Resources"].get("CPU", 0),
                resources={RESOURCE + self._asked[0].name: 1},
                max_restarts=0,
                max_task_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
                runtime_env={"env_vars": self._environment},
            )
            .remote()
        )
        call = self._actor.open.remote(*self._asked)
        try:
            found: tuple[Machine, Plan] = self._ray.get(call, timeout=START_TIMEOUT_S)
        except self._ray.exceptions.RayTaskError as failure:
            raise _cause(failure) from failure
        return found


def labelled(ray: Any, name: str) -> list[dict[str, Any]]:
    """The nodes alive that are labelled as the device of a profile's name."""
    wanted = RESOURCE + name
    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get(wanted, 0) >= 1]


@contextmanager
def sessions_for(
    profile: HardwareProfile,
    executor: str,
    options: ExecutorOptions,
    folder: Path,
    num_classes: int,
) -> Iterator[Opener | None]:
    """How sessions of a profile are to be opened: on its labelled node, or None for here.

    Args:
        profile: its name is the label's.
        executor: only ``ray`` with an address knows other machines.
        options: with the address.
        folder: working directory for joining.
        num_classes: outputs of the models.

    Raises:
        UserError: the cluster cannot be reached or joined.
    """
    if executor != "ray" or options.address is None:
        yield None
        return
    check_address(options.address)
    joined = start(options, folder)
    try:
        if not labelled(joined.ray, profile.name):
            yield None
            return
        environment = worker_environment(replace(options, threads=profile.threads))

        def opener(
            profile: HardwareProfile,
            runtime: Runtime,
            plan: Plan,
            seed: int,
            level_ms: float | None = None,
        ) -> Session:
            return RemoteSession(
                joined.ray, num_classes, environment, profile, plan, seed, level_ms
            )

        yield opener
    finally:
        joined.close()


def _cause(failure: Any) -> UserError:
    cause = getattr(failure, "cause", None)
    if isinstance(cause, UserError):
        return UserError(str(cause))
    lines = [line for line in str(cause or failure).splitlines() if line.strip()]
    return UserError(f"measuring on the device's node failed: {lines[-1].strip()}")
