"""How workers and examples are shared out among coordinators, and what that costs the driver."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from search_cluster.cluster.coordinators.example_leases import ExampleLeases
from search_cluster.cluster.coordinators.handle import CoordinatorHandle
from search_cluster.cluster.coordinators.health import SignsOfLife
from search_cluster.cluster.coordinators.messages import StepOrder, StepReport
from search_cluster.cluster.coordinators.settings import CoordinatorSettings
from search_cluster.cluster.coordinators.shard_maker import Finished
from search_cluster.cluster.coordinators.staffing import WINDOW_S, CoordinatorLoad
from search_cluster.cluster.coordinators.working import (
    IDLE_STEP_S,
    MAX_STEP_S,
    STEP_S,
    STEPS_IN_FLIGHT,
    WorkingCoordinators,
)
from search_cluster.cluster.worker_handle import ReadyWorker, WorkerHandle
from search_cluster.identity import ModelIdentity
from search_cluster.protocols.counters import EvaluatorStats, SearchCounts, WorkerStats
from search_cluster.tasks.example import Example
from search_cluster.workers.messages import WorkerInfo

INFO = WorkerInfo(
    model=ModelIdentity(fingerprint="f"), chat=False, num_layers=4, dtype="float32",
    device="scripted", tie_threshold=0.0, node="n", node_id="0", pid=1,
)  # fmt: skip


class CountingWorkers(dict[int, tuple[ReadyWorker, float]]):
    """Counts how often it is asked how many there are."""

    num_asked = 0

    def __len__(self) -> int:
        CountingWorkers.num_asked += 1
        return super().__len__()


class Mailbox:
    """Keeps the orders that an actor gets."""

    def __init__(self) -> None:
        self.orders: list[StepOrder] = []
        self.step = self

    def remote(self, order: StepOrder) -> object:
        self.orders.append(order)
        return object()


def ready(number: int) -> ReadyWorker:
    return ReadyWorker(handle=WorkerHandle(number=number, actor=None), info=INFO, held_s=0.0)


def report(load: CoordinatorLoad | None = None) -> StepReport:
    return StepReport(
        pid=1, finished=Finished(), num_ended=0, num_held=0, delivered=SearchCounts(),
        settled=SearchCounts(), stats=EvaluatorStats(), load=load, num_workers=0, lost=(),
        num_wanted=4, busy=False,
    )  # fmt: skip


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[..., WorkingCoordinators]:
    """Coordinators without processes, which have all reported once."""

    def hire(self: Any, *, replacing: bool, num_starts: int = 1) -> None:
        number = self.next_number
        self.next_number += 1
        self._handles[number] = CoordinatorHandle(
            number=number,
            actor=Mailbox(),
            replacing=replacing,
            num_starts=num_starts,
            signs=SignsOfLife(alone_since_s=0.0),
            workers=CountingWorkers(),
        )

    def make(count: int, num_examples: int = 0) -> WorkingCoordinators:
        examples = [
            Example(task="t", question=f"q{i}", gold="g", split="train", source="s")
            for i in range(num_examples)
        ]
        factory: Any = None
        settings = CoordinatorSettings()
        working = WorkingCoordinators(factory, ExampleLeases(examples), {}, settings)
        for _ in range(count):
            working.hire(replacing=False)
        for coordinator in working:
            coordinator.report = report()
        return working

    monkeypatch.setattr(WorkingCoordinators, "hire", hire)
    return make


def test_workers_go_to_whoever_has_the_fewest_at_one_look_for_each_coordinator(
    start: Callable[..., WorkingCoordinators],
) -> None:
    working = start(10)
    first, *others = working
    working.assign(map(ready, range(3)))
    assert [len(other.workers) for other in working] == [1, 1, 1] + 7 * [0]
    first.workers.update({number: (ready(number), 0.0) for number in range(100, 250)})
    CountingWorkers.num_asked = 0
    working.assign(map(ready, range(1_000, 1_900)))
    assert CountingWorkers.num_asked == 10
    assert {len(other.workers) for other in others} == {100, 101}
    assert len(first.workers) == 151


def test_orders_for_many_coordinators_cost_no_more_for_each_than_for_few(
    start: Callable[..., WorkingCoordinators],
) -> None:
    asked = []
    for count in (10, 100):
        working = start(count, num_examples=2_000)
        working.assign(map(ready, range(16 * count)))
        CountingWorkers.num_asked = 0
        assert len(working.order_steps()) == STEPS_IN_FLIGHT * count
        asked.append(CountingWorkers.num_asked / count)
    assert asked[0] == asked[1]


def test_one_without_examples_is_asked_now_and_then_which_of_its_workers_are_idle(
    start: Callable[..., WorkingCoordinators],
) -> None:
    working = start(1)
    working.assign([ready(0)])
    (only,) = working
    working.order_steps()
    only.sent_s -= IDLE_STEP_S
    working.order_steps()
    assert len(only.actor.orders) == 1  # it has not reported
    only.steps.clear()
    only.sent_s += IDLE_STEP_S
    working.order_steps()
    assert len(only.actor.orders) == 1
    only.sent_s -= IDLE_STEP_S
    working.order_steps()
    assert len(only.actor.orders) == 2
    assert not only.actor.orders[0].more
    assert only.actor.orders[0].workers[0].handle.number == 0


def test_what_was_not_told_of_workers_is_the_time_since_or_all_since_they_were_ready(
    start: Callable[..., WorkingCoordinators],
) -> None:
    working = start(1)
    (only,) = working
    told = [WorkerStats(worker=number, node="n", device="scripted") for number in (0, 1)]
    only.report = replace(report(), stats=EvaluatorStats.of_workers(told, num_devices=2))
    only.told_s = 50.0
    half = replace(INFO, device_share=0.5)
    only.workers.update(
        {
            0: (ready(0), 10.0),
            1: (replace(ready(1), info=half), 10.0),
            2: (replace(ready(2), held_s=7.0), 60.0),  # has not joined it when it told
        }
    )
    assert [(item.worker, item.device_held_s) for item in only.unreported(70.0)] == [
        (0, 20.0),
        (1, 10.0),
        (2, 17.0),
    ]
    only.report = None
    only.workers[3] = (replace(ready(3), held_s=100.0), 69.0)
    assert only.unreported(70.0)[-1].device_held_s == 101.0


def test_steps_of_many_coordinators_are_longer_so_that_no_more_of_them_end(
    start: Callable[..., WorkingCoordinators],
) -> None:
    durations = []
    for count in (1, 16, 64, 1_000):
        working = start(count, num_examples=3_000)
        working.assign(map(ready, range(count)))
        working.order_steps()
        (first, *_), *_ = [other.actor.orders for other in working]
        durations.append(first.duration_s)
    assert durations == [STEP_S, STEP_S, 1.0, MAX_STEP_S]


def test_company_takes_its_share_of_workers_once_it_has_started(
    start: Callable[..., WorkingCoordinators],
) -> None:
    def full(alive_s: float) -> StepReport:
        load = CoordinatorLoad(
            alive_s=alive_s, cpu_s=alive_s, num_workers=8, held_s=8 * alive_s, busy_s=alive_s
        )
        return report(load)

    working = start(1, num_examples=100)
    working.assign(map(ready, range(8)))
    (first,) = working
    for alive_s in (5.0, 5.0 + WINDOW_S):
        first.report = full(alive_s)
        assert len(working) == 1
        working.give_company(lambda: 4)
    assert len(working) == 2
    assert first.max_workers == 8  # the other one has not started
    _, second = working
    second.report = report()
    working.give_company(lambda: 4)
    assert (first.max_workers, second.max_workers) == (4, 4)
    working.order_steps()
    assert first.actor.orders[-1].max_workers == 4
    # Three have gone, and none has arrived yet: one more has to go.
    gone = [first.workers.pop(number)[0].handle for number in range(3)]
    working.note_moving(gone)
    working.give_company(lambda: 4)
    assert (len(first.workers), first.max_workers) == (5, 4)
    working.assign(map(ready, range(3)))
    assert (len(first.workers), len(second.workers)) == (5, 3)
    working.give_company(lambda: 4)
    assert first.max_workers == 4


def test_there_is_no_company_without_room(start: Callable[..., WorkingCoordinators]) -> None:
    working = start(2, num_examples=100)
    working.assign(map(ready, range(8)))
    for alive_s in (5.0, 5.0 + WINDOW_S):
        for coordinator in working:
            coordinator.report = report(
                CoordinatorLoad(
                    alive_s=alive_s, cpu_s=alive_s, num_workers=4, held_s=4 * alive_s, busy_s=0.0
                )
            )
        working.give_company(lambda: 2)
    assert len(working) == 2
