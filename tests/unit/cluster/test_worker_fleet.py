"""Workers that come back, move, are let go, and more of them: without a cluster."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import ray
from ray.exceptions import ActorDiedError
from support.worker_doubles import raised_by_worker, worker_info

from search_cluster.cluster import awaited, fleet_actors, worker_fleet
from search_cluster.cluster.awaited import MAX_DEATHS
from search_cluster.cluster.nodes import NodeWatch
from search_cluster.cluster.worker_fleet import MAX_BUILD_FAILURES, WorkerFleet
from search_cluster.cluster.worker_handle import ActorLife, LostWorker, WorkerHandle
from search_cluster.errors import DeviceBrokenError, EvaluatorError
from search_cluster.workers.group.suspects import Break
from search_cluster.workers.group.worker import Loss
from search_cluster.workers.messages import WorkerInfo


@dataclass(eq=False)
class FakeActor:
    """Is placed on the first node that is not avoided; says at once what it has to say."""

    node_id: str
    broken: Collection[str]
    is_lasting: bool = True
    is_alive: bool = True
    pid: int = 1
    num_restarts: int = 0

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)  # no actor of scripted devices


@dataclass(eq=False)
class Place:
    """A cluster: its nodes, and the actors that were made."""

    nodes: list[str]
    broken: set[str] = field(default_factory=set)
    resources: dict[str, set[str]] = field(default_factory=dict)
    """What nodes have that have no GPU."""
    made: list[FakeActor] = field(default_factory=list)
    avoided: list[frozenset[str]] = field(default_factory=list)

    def make(self, worker: int, *, lasting: bool, avoid: Collection[str]) -> FakeActor:
        homes = (name for name in self.nodes if "GPU" in self.resources.get(name, {"GPU"}))
        node_id = next((name for name in homes if name not in avoid), "")
        self.made.append(FakeActor(node_id, self.broken, is_lasting=lasting))
        self.avoided.append(frozenset(avoid))
        return self.made[-1]

    def fleet(
        self, num_workers: int, room: Callable[[], int] | None = None, slots: int = 1
    ) -> WorkerFleet:
        actors = [self.make(0, lasting=True, avoid=()) for _ in range(0, num_workers, slots)]
        workers = [
            WorkerHandle(number=number, actor=actors[number // slots], slot=number % slots)
            for number in range(num_workers)
        ]
        return WorkerFleet(
            workers, needs="1 GPU", resource="GPU", placement_timeout_s=5.0, grace_s=0.0,
            make=self.make, room=room,
        )  # fmt: skip


def info_of(actor: FakeActor) -> tuple[WorkerInfo, float]:
    if actor.node_id in actor.broken:
        cause = DeviceBrokenError("device cuda is broken: CUDA error")
        cause.node_id = actor.node_id
        raise raised_by_worker(cause)
    if not (actor.is_lasting or actor.is_alive):
        raise ActorDiedError
    return worker_info(device="cuda", node_id=actor.node_id, pid=actor.pid), 1.0


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    """References are functions; actors on no node are silent."""
    place = Place(["a", "b"])

    def wait(refs: Sequence[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        ready = [ref for ref in refs if ref.__self__.node_id] if refs else []
        return ready, [ref for ref in refs if ref not in ready]

    class Ref:
        def __init__(self, actor: FakeActor) -> None:
            self.__self__ = actor

        def __call__(self) -> Any:
            return info_of(self.__self__)

    monkeypatch.setattr(WorkerHandle, "placed", lambda self: Ref(self.actor))
    monkeypatch.setattr(WorkerHandle, "info", lambda self: Ref(self.actor))
    monkeypatch.setattr(WorkerHandle, "info_once", lambda self: Ref(self.actor))
    monkeypatch.setattr(
        WorkerHandle, "life", lambda self: ActorLife(num_restarts=self.actor.num_restarts)
    )
    monkeypatch.setattr(awaited, "LOOK_S", 0.0)
    monkeypatch.setattr(ray, "wait", wait)
    monkeypatch.setattr(ray, "get", lambda ref: ref())
    monkeypatch.setattr(ray, "kill", lambda actor, **_: setattr(actor, "is_alive", False))
    monkeypatch.setattr(worker_fleet, "NodeWatch", lambda: NodeWatch(draining=set))
    monkeypatch.setattr(
        worker_fleet,
        "num_alive_outside",
        lambda given_up, resource: sum(
            name not in given_up and resource in place.resources.get(name, {"GPU"})
            for name in place.nodes
        ),
    )
    monkeypatch.setattr(fleet_actors, "GROWTH_LOOK_S", 0.0)
    return place


def lost(worker: WorkerHandle, kind: Loss, node_id: str) -> LostWorker:
    return LostWorker(handle=worker, kind=kind, node_id=node_id)


def test_a_worker_whose_device_failed_is_doubtful_when_it_is_back(place: Place) -> None:
    fleet = place.fleet(2)
    fleet.wait()
    first, second = (ready.handle for ready in fleet.ready())
    fleet.lost(lost(first, Loss.DEVICE, "a"))
    fleet.lost(lost(second, Loss.PROCESS, "a"))
    assert {ready.handle.number: ready.is_doubtful for ready in fleet.ready()} == {
        0: True,
        1: False,
    }


def test_workers_of_a_node_that_is_given_up_get_a_place_elsewhere(place: Place) -> None:
    fleet = place.fleet(2)
    fleet.wait()
    first, second = (ready.handle for ready in fleet.ready())
    for _ in range(3):
        fleet.count_break(Break(node_id="a", cause="CUDA error"))
    assert fleet.closed_nodes == {"a"}
    fleet.lost(lost(first, Loss.DEVICE, "a"))  # restarted where it was
    fleet.lost(lost(second, Loss.MOVING, "a"))
    found = [*fleet.ready(), *fleet.ready()]
    assert {ready.handle.number: ready.info.node_id for ready in found} == {0: "b", 1: "b"}
    assert not any(ready.is_doubtful for ready in found)
    assert not first.actor.is_alive
    assert not second.actor.is_alive
    assert fleet.num_workers == 2


def test_an_actor_of_several_workers_moves_when_the_last_of_them_has_left(place: Place) -> None:
    fleet = place.fleet(3, slots=3)
    fleet.wait()
    handles = [ready.handle for ready in fleet.ready()]
    for _ in range(3):
        fleet.count_break(Break(node_id="a", cause="CUDA error"))
    for handle in handles[:2]:
        fleet.lost(lost(handle, Loss.MOVING, "a"))
        assert fleet.ready() == []
        assert handle.actor.is_alive
    fleet.lost(lost(handles[2], Loss.MOVING, "a"))
    assert [ready.handle.slot for ready in fleet.ready()] == [0, 1, 2]
    assert len(place.made) == 2


def test_a_device_that_is_broken_from_the_start_gives_its_node_up_and_not_the_run(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.broken.add("a")
    fleet = place.fleet(1)
    info = fleet.wait()
    assert info.node_id == "b"
    assert "node a is given up" in caplog.text
    assert fleet.ready()[0].handle.number == 0


def test_a_machine_whose_devices_are_all_broken_ends_the_run_at_once(place: Place) -> None:
    place.broken.update("ab")
    fleet = place.fleet(1)
    text = r"0 of 1 workers were ready .*devices of 2 nodes failed again and again, .*CUDA error\);"
    with pytest.raises(EvaluatorError, match=text):
        fleet.wait()


def test_a_node_without_the_devices_that_workers_need_is_not_waited_for(place: Place) -> None:
    place.nodes.append("head")
    place.resources["head"] = {"CPU"}
    place.broken.update("ab")
    fleet = place.fleet(1)
    with pytest.raises(EvaluatorError, match="devices of 2 nodes failed again and again"):
        fleet.wait()
    assert fleet.num_awaited == 0


def ready_one(fleet: WorkerFleet) -> WorkerHandle:
    """The worker of a fleet of one that is ready now, or when one of its actors was replaced."""
    (ready,) = [*fleet.ready(), *fleet.ready()]
    return ready.handle


def test_a_worker_that_loads_at_last_is_no_device_that_its_next_loss_takes_away(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = place.fleet(1)
    fleet.wait()
    worker = ready_one(fleet)
    for _ in range(3):
        worker.actor.num_restarts = 0
        fleet.lost(lost(worker, Loss.PROCESS, "a"))
        worker.actor.node_id = ""  # it dies whenever it loads
        assert fleet.ready() == []
        worker.actor.num_restarts = MAX_DEATHS
        last = ready_one(fleet)
        assert not last.actor.is_lasting
        last.actor.is_alive = False
        fleet.lost(lost(last, Loss.NODE, "a"))
        worker = ready_one(fleet)
        assert worker.actor.is_lasting
        assert worker.actor is not last.actor
    assert "left out" not in caplog.text


def test_failures_to_come_back_count_from_when_a_worker_was_last_ready(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = place.fleet(1)
    fleet.wait()
    worker = ready_one(fleet)
    worker.actor.is_lasting = False  # its calls fail while it is dead

    def fail(times: int) -> None:
        worker.actor.is_alive = False
        fleet.lost(lost(worker, Loss.PROCESS, "a"))
        for _ in range(times):
            assert fleet.ready() == []

    for _ in range(3):
        fail(MAX_BUILD_FAILURES - 1)
        worker.actor.is_alive = True
        assert ready_one(fleet) is worker
    fail(MAX_BUILD_FAILURES)
    assert "worker 0 is left out" in caplog.text
    assert fleet.num_workers == 0


def test_each_process_of_a_worker_has_its_seconds_before_it_was_ready_counted_once(
    place: Place,
) -> None:
    fleet = place.fleet(1)
    fleet.wait()
    (first,) = fleet.ready()
    assert first.held_s >= 1.0
    fleet.watch(first.handle)  # another one is to have it
    (moved,) = fleet.ready()
    assert moved.held_s == 0.0
    for pid, node_id in ((2, "a"), (2, "b")):
        first.handle.actor.pid, first.handle.actor.node_id = pid, node_id
        fleet.lost(lost(first.handle, Loss.PROCESS, "a"))
        (again,) = fleet.ready()
        assert again.held_s == 1.0


def test_a_cluster_that_grows_gets_more_workers_until_some_are_let_go(place: Place) -> None:
    room = 2
    fleet = place.fleet(2, room=lambda: room)
    fleet.wait()
    assert len(fleet.ready()) == 2
    room = 5
    assert [ready.handle.number for ready in fleet.ready()] == [2, 3, 4]
    room = 3
    assert fleet.ready() == []
    room = 6
    (last,) = fleet.ready()
    fleet.let_go(last.handle)
    assert not last.handle.actor.is_alive
    room = 9
    assert fleet.ready() == []
    assert fleet.num_workers == 5
    fleet.lost(lost(last.handle, Loss.NODE, "a"))  # said before it was let go
    assert fleet.num_awaited == 0


def test_a_worker_that_was_left_out_is_not_asked_for_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def difference(one: WorkerInfo, other: WorkerInfo) -> str | None:
        return "it computes with another GPU" if other.node_id == "odd" else None

    monkeypatch.setattr(worker_fleet, "difference_of", difference)
    room = 1
    fleet = place.fleet(1, room=lambda: room)
    fleet.wait()
    assert len(fleet.ready()) == 1
    place.nodes[:] = ["odd"]
    room = 2
    for _ in range(3):
        assert fleet.ready() == []
    assert caplog.text.count("worker 1 is left out: it computes with another GPU") == 1
    assert len(place.made) == 2
    place.nodes[:] = ["a"]
    room = 3
    assert [ready.handle.number for ready in fleet.ready()] == [2]
