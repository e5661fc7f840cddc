"""When coordinators get company: scripted loads, and a simulated run that must come to rest."""

from dataclasses import dataclass, replace

import pytest

from search_cluster.cluster.coordinators.staffing import (
    FULL_SHARE,
    IDLE_SHARE,
    WINDOW_S,
    CoordinatorLoad,
    Staffing,
    fair_share,
)

START = CoordinatorLoad(alive_s=5.0, cpu_s=3.0, num_workers=4, held_s=400.0, busy_s=1.0)
"""Workers are held from when they load the model: nothing before the first report counts."""


def later(
    load: CoordinatorLoad, cpu_share: float, idle_share: float, seconds: float = WINDOW_S
) -> CoordinatorLoad:
    """The load after so many seconds of such shares."""
    return replace(
        load,
        alive_s=load.alive_s + seconds,
        cpu_s=load.cpu_s + cpu_share * seconds,
        held_s=load.held_s + load.num_workers * seconds,
        busy_s=load.busy_s + (1.0 - idle_share) * load.num_workers * seconds,
    )


@pytest.mark.parametrize(
    ("cpu_share", "idle_share", "needs_company"),
    [
        (FULL_SHARE + 0.01, IDLE_SHARE + 0.01, True),
        (1.0, 0.9, True),
        (FULL_SHARE - 0.01, 0.9, False),  # something else keeps its workers waiting
        (1.0, IDLE_SHARE - 0.01, False),  # it does all that there is to do
    ],
)
def test_who_is_full_while_workers_wait_needs_company(
    cpu_share: float, idle_share: float, needs_company: bool
) -> None:
    staffing = Staffing()
    assert staffing.look({7: START}) == []
    assert staffing.look({7: later(START, cpu_share, idle_share)}) == ([7] if needs_company else [])


def test_a_coordinator_is_judged_after_a_whole_window_and_then_anew() -> None:
    staffing = Staffing()
    load = START
    staffing.look({0: load})
    found = []
    for _ in range(8):
        load = later(load, 1.0, 0.5, seconds=WINDOW_S / 4)
        found.append(staffing.look({0: load}))
        assert staffing.look({0: load}) == []  # the same report again
    assert found == [[], [], [], [0], [], [], [], [0]]


def test_a_window_begins_anew_when_workers_come_or_go() -> None:
    staffing = Staffing()
    staffing.look({0: START})
    # One more that was held for an hour while it loaded: nobody waited for the coordinator.
    joined = replace(later(START, 1.0, 0.0), num_workers=5)
    joined = replace(joined, held_s=joined.held_s + 3600.0)
    assert staffing.look({0: joined}) == []
    assert staffing.look({0: later(joined, 1.0, 0.0)}) == []
    assert staffing.look({0: later(later(joined, 1.0, 0.0), 1.0, 0.5)}) == [0]


def test_one_worker_cannot_be_shared() -> None:
    staffing = Staffing()
    alone = replace(START, num_workers=1)
    staffing.look({0: alone})
    assert staffing.look({0: later(alone, 1.0, 0.9)}) == []


def test_shares_are_even_and_those_on_their_way_count() -> None:
    assert fair_share([16, 0], 0) == 8
    assert fair_share([8, 0], 8) == 8
    assert fair_share([9, 8], 0) == 9
    assert fair_share([5, 5, 0], 1) == 4


@dataclass
class SimulatedCoordinator:
    """Does so many paths a second at most; its workers together so many more or fewer."""

    load: CoordinatorLoad

    def go_on(self, num_workers: int, worker_per_s: float, coordinator_per_s: float) -> None:
        wanted_per_s = num_workers * worker_per_s
        done_per_s = min(wanted_per_s, coordinator_per_s)
        self.load = later(
            replace(self.load, num_workers=num_workers),
            done_per_s / coordinator_per_s,
            1.0 - done_per_s / wanted_per_s,
            seconds=1.0,
        )


@pytest.mark.parametrize(
    ("worker_per_s", "num_expected"),
    [
        (40.0, 1),  # 16 workers ask for a tenth of one coordinator
        (400.0, 1),  # 6,400 of 7,000
        (1_000.0, 4),  # 16,000 of 7,000: two would do 14,000, and each that is full gets company
        (50_000.0, 8),  # no number is enough: as many as there is room for
    ],
)
def test_the_number_grows_until_workers_wait_no_more_and_rests_there(
    worker_per_s: float, num_expected: int
) -> None:
    num_workers, room = 16, 8
    staffing = Staffing()
    coordinators = [SimulatedCoordinator(replace(START, num_workers=num_workers))]
    numbers = []
    for _ in range(400):
        for place, coordinator in enumerate(coordinators):
            share = len(range(place, num_workers, len(coordinators)))
            coordinator.go_on(share, worker_per_s, coordinator_per_s=7_000.0)
        full = staffing.look({number: item.load for number, item in enumerate(coordinators)})
        for _ in full[: room - len(coordinators)]:
            coordinators.append(SimulatedCoordinator(replace(START, num_workers=1)))
        numbers.append(len(coordinators))
    assert numbers == sorted(numbers)
    assert numbers[-1] == numbers[200] == num_expected
