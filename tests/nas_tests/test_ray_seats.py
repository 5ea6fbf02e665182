"""How seats follow a cluster and how losses are counted, with a Ray made of lists."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nas.executors import ExecutorOptions, ray_seats
from nas.executors.ray_seats import MOVES, Seats, Task
from nas.executors.ray_session import Session
from tests.nas_tests.study_toy import ToyFactory, architecture


class UnavailableError(Exception):
    pass


class FakeRay:
    """As much of Ray as seats need. Actors and references are themselves."""

    exceptions = SimpleNamespace(ActorUnavailableError=UnavailableError)

    def __init__(self, *cpus: int) -> None:
        self.cpus = list(cpus)
        self.killed: list[object] = []
        self.asked: dict[str, Any] = {}

    def nodes(self) -> list[dict[str, Any]]:
        alive = [{"Alive": True, "Resources": {"CPU": float(count)}} for count in self.cpus]
        return [
            *alive,
            {"Alive": False, "Resources": {"CPU": 64.0}},
            {"Alive": True, "Resources": {}},
        ]

    def put(self, value: object) -> object:
        return value

    def kill(self, actor: object) -> None:
        self.killed.append(actor)

    def remote(self, cls: object) -> FakeRay:
        return self

    def options(self, **asked: Any) -> Any:
        self.asked = asked

        class Method:
            def remote(self, *arguments: object) -> object:
                return object()

        class Actor:
            def __init__(self) -> None:
                self.start = self.evaluate = Method()

        class Remote:
            def remote(self, threads: int) -> Actor:
                return Actor()

        return Remote()


@pytest.fixture(autouse=True)
def _look_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_seats, "FOLLOW_S", 0.0)


def seats_on(ray: FakeRay, *, elastic: bool = True, **options: int) -> Seats:
    session = Session(ray, owner=False, elastic=elastic)
    asked = ExecutorOptions(**options)  # type: ignore[arg-type]
    return Seats(session, ToyFactory(), {}, asked)


def test_there_are_as_many_as_the_machines_hold() -> None:
    ray = FakeRay(4, 3, 1)
    assert len(seats_on(ray, threads=2).all) == 3, "2 + 1 + 0: no worker spans machines"
    assert ray.asked["num_cpus"] == 2
    assert len(seats_on(FakeRay(), threads=1).all) == 1, "one waits for a machine to join"
    assert len(seats_on(FakeRay(1), workers=5).all) == 5, "they are asked of the autoscaler"


def test_they_follow_machines_that_join_and_leave() -> None:
    ray = FakeRay(2)
    seats = seats_on(ray)
    for seat in seats.all:
        seat.starting = None
    ray.cpus = [2, 2]
    seats.follow()
    assert len(seats.all) == 4
    ray.cpus = [2, 1]
    waiting = seats.all[-1]
    seats.follow()
    assert len(seats.all) == 3
    assert ray.killed == [waiting.actor], "one that waits to be placed goes first"
    ray.cpus = [1]
    seats.follow()
    assert len(seats.all) == 2, "those that are placed have room and stay"
    assert len(seats.ready) == 2


@pytest.mark.parametrize("fixed", [{"elastic": False}, {"workers": 2}])
def test_fixed_seats_stay(fixed: dict[str, Any]) -> None:
    ray = FakeRay(2)
    seats = seats_on(ray, **fixed)
    ray.cpus = [8]
    seats.follow()
    ray.cpus = []
    seats.follow()
    assert len(seats.all) == 2


def test_only_a_workers_own_death_is_held_against_an_evaluation() -> None:
    ray, task = FakeRay(), Task(architecture(), "all")
    task.lose(ray, UnavailableError("out of reach"))
    task.lose(ray, RuntimeError("The actor died because its node has died. Node Id: 12"))
    assert (task.lost, task.moved) == (0, 2)
    task.lose(ray, RuntimeError("Worker exit detail: killed"))
    assert (task.lost, task.moved) == (1, 2)
    for _ in range(MOVES):
        task.lose(ray, UnavailableError())
    assert task.moved == MOVES, "whatever goes on for ever is the evaluation's fault after all"
    assert task.lost == 3
