"""Workers that are awaited: which of them hang, and which die on the way."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import ray

from search_cluster.cluster import awaited
from search_cluster.cluster.awaited import LOOK_S, MAX_DEATHS, MAX_LOOKED_AT, AwaitedWorkers
from search_cluster.cluster.worker_handle import ActorLife, WorkerHandle


@dataclass(eq=False)
class Actor:
    """Answers none, some, or all that it is asked."""

    is_up: bool = True
    num_restarts: int = 0
    answers: bool = False
    is_ready: bool = False
    num_looks: int = 0


@dataclass(eq=False)
class Ref:
    actor: Actor
    is_info: bool

    @property
    def is_done(self) -> bool:
        return self.actor.is_ready if self.is_info else self.actor.answers


class Clock:
    """Time that passes when it is told to."""

    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(awaited, "time", clock)
    return clock


@pytest.fixture(autouse=True)
def killed(monkeypatch: pytest.MonkeyPatch) -> list[Actor]:
    """Actors that were killed and start again."""
    killed: list[Actor] = []

    def wait(refs: Sequence[Ref], **_: Any) -> tuple[list[Ref], list[Ref]]:
        return [ref for ref in refs if ref.is_done], [ref for ref in refs if not ref.is_done]

    def kill(actor: Actor, *, no_restart: bool) -> None:
        assert not no_restart
        actor.is_up = False
        actor.num_restarts += 1
        killed.append(actor)

    def life(self: WorkerHandle) -> ActorLife:
        self.actor.num_looks += 1
        return ActorLife(num_restarts=self.actor.num_restarts, is_up=self.actor.is_up)

    monkeypatch.setattr(WorkerHandle, "placed", lambda self: Ref(self.actor, False))
    monkeypatch.setattr(WorkerHandle, "info", lambda self: Ref(self.actor, True))
    monkeypatch.setattr(WorkerHandle, "life", life)
    monkeypatch.setattr(ray, "wait", wait)
    monkeypatch.setattr(ray, "kill", kill)
    return killed


def look(workers: AwaitedWorkers, clock: Clock, seconds: float) -> list[WorkerHandle]:
    """Look as often as the fleet does; what the looks said."""
    said = []
    for _ in range(round(seconds / LOOK_S)):
        clock.now_s += LOOK_S
        said += workers.look()
    return said


def test_a_worker_that_is_up_and_silent_is_killed_and_awaited_on(
    clock: Clock, killed: list[Actor], caplog: pytest.LogCaptureFixture
) -> None:
    workers = AwaitedWorkers(30.0)
    hung, loading, unplaced = Actor(), Actor(answers=True), Actor(is_up=False)
    for number, actor in enumerate((hung, loading, unplaced)):
        workers.add(WorkerHandle(number=number, actor=actor))
    look(workers, clock, 30.0)
    assert killed == []
    look(workers, clock, 6.0)
    assert killed == [hung]
    assert caplog.messages == ["worker 0: it has not answered for 30 s, and is killed"]
    look(workers, clock, 600.0)  # it waits for a place now
    assert killed == [hung]
    assert len(workers) == 3
    hung.is_up = hung.is_ready = True
    (ref,) = workers.done()
    worker = workers.take(ref)
    assert worker is not None
    assert worker.number == 0


def test_one_that_hangs_after_it_has_answered_is_found_too(
    clock: Clock, killed: list[Actor]
) -> None:
    workers = AwaitedWorkers(30.0)
    actor = Actor(answers=True)
    workers.add(WorkerHandle(number=0, actor=actor))
    look(workers, clock, 300.0)
    actor.answers = False
    look(workers, clock, 36.0)
    assert killed == [actor]


def test_an_actor_that_was_restarted_meanwhile_gets_its_time_anew(
    clock: Clock, killed: list[Actor]
) -> None:
    workers = AwaitedWorkers(30.0)
    actor = Actor()
    workers.add(WorkerHandle(number=0, actor=actor))
    for _ in range(2):
        look(workers, clock, 27.0)
        actor.num_restarts += 1
    assert killed == []


def test_time_in_which_nobody_looked_accuses_nobody(clock: Clock, killed: list[Actor]) -> None:
    workers = AwaitedWorkers(30.0)
    workers.add(WorkerHandle(number=0, actor=Actor()))
    look(workers, clock, 6.0)
    clock.now_s += 3600.0
    look(workers, clock, 6.0)
    assert killed == []


def test_an_actor_of_several_workers_is_killed_once(clock: Clock, killed: list[Actor]) -> None:
    workers = AwaitedWorkers(30.0)
    actor = Actor()
    for slot in range(3):
        workers.add(WorkerHandle(number=slot, actor=actor, slot=slot))
    look(workers, clock, 36.0)
    assert killed == [actor]


def test_of_many_all_are_looked_at_in_turn(clock: Clock, killed: list[Actor]) -> None:
    workers = AwaitedWorkers(6.0)
    actors = [Actor(is_up=False) for _ in range(5 * MAX_LOOKED_AT // 2)] + [Actor()]
    for number, actor in enumerate(actors):
        workers.add(WorkerHandle(number=number, actor=actor))
    look(workers, clock, LOOK_S)
    assert sum(actor.num_looks for actor in actors) == MAX_LOOKED_AT
    look(workers, clock, 60.0)
    assert killed == [actors[-1]]


def test_of_many_none_gets_more_time_than_of_a_few(clock: Clock, killed: list[Actor]) -> None:
    workers = AwaitedWorkers(60.0)
    actors = [Actor() for _ in range(10 * MAX_LOOKED_AT)]
    for number, actor in enumerate(actors):
        workers.add(WorkerHandle(number=number, actor=actor))
    look(workers, clock, 60.0)
    assert killed == []
    look(workers, clock, 60.0 + 10 * LOOK_S)
    assert killed == actors


def test_a_load_that_hangs_while_its_process_answers_is_killed_after_its_own_time(
    clock: Clock, killed: list[Actor], caplog: pytest.LogCaptureFixture
) -> None:
    workers = AwaitedWorkers(30.0, 90.0)
    stuck, moving = Actor(answers=True), Actor(answers=True)
    for number, actor in enumerate((stuck, moving)):
        workers.add(WorkerHandle(number=number, actor=actor))
    look(workers, clock, 60.0)
    moving.num_restarts += 1  # it loads elsewhere now
    look(workers, clock, 33.0)
    assert killed == []
    look(workers, clock, 6.0)
    assert killed == [stuck]
    assert caplog.messages == ["worker 0: it has been loading its model for 90 s, and is killed"]


def test_a_worker_that_is_awaited_again_may_take_its_whole_time_to_load(
    clock: Clock, killed: list[Actor]
) -> None:
    workers = AwaitedWorkers(30.0, 90.0)
    actor = Actor(answers=True)
    worker = WorkerHandle(number=0, actor=actor)
    for _ in range(3):
        workers.add(worker)
        look(workers, clock, 60.0)
        actor.is_ready = True
        (ref,) = workers.done()
        assert workers.take(ref) is worker
        actor.is_ready = False
    assert killed == []


def test_deaths_count_from_when_a_worker_was_lost_and_of_new_ones_all(clock: Clock) -> None:
    workers = AwaitedWorkers()
    lost, new = Actor(num_restarts=MAX_DEATHS), Actor(num_restarts=MAX_DEATHS)
    workers.add(WorkerHandle(number=0, actor=lost))
    workers.add(WorkerHandle(number=1, actor=new), is_new=True)
    assert [worker.number for worker in look(workers, clock, LOOK_S)] == [1]
    lost.num_restarts += MAX_DEATHS
    assert [worker.number for worker in look(workers, clock, LOOK_S)] == [0, 1]


def test_what_was_seen_of_a_worker_is_forgotten_when_nobody_waits_for_it(
    clock: Clock, killed: list[Actor]
) -> None:
    workers = AwaitedWorkers(30.0)
    worker = WorkerHandle(number=0, actor=Actor())
    workers.add(worker)
    look(workers, clock, 27.0)
    workers.drop([0])
    assert len(workers) == 0
    workers.add(worker)
    look(workers, clock, 27.0)
    assert killed == []
