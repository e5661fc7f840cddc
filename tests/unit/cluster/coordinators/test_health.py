"""Who hangs, who is starved, and when losses end a run: rules on a clock that the test turns."""

import pytest

from search_cluster.cluster.coordinators.health import (
    LOOK_S,
    MAX_LOSSES_IN_A_ROW,
    MAX_SILENCE_PER_LOOK_S,
    MAX_SPARED,
    SPARED_WITHIN_S,
    STARVED_S,
    CoordinatorHealth,
    SignsOfLife,
)
from search_cluster.cluster.coordinators.settings import (
    WORKERS_PER_COORDINATOR,
    CoordinatorSettings,
)
from search_cluster.errors import EvaluatorError

SETTINGS = CoordinatorSettings(placement_timeout_s=20.0, coordinator_timeout_s=5.0)


@pytest.fixture
def health() -> CoordinatorHealth:
    return CoordinatorHealth(SETTINGS, now_s=100.0)


def test_looks_have_their_time_and_a_driver_that_stood_still_blames_nobody(
    health: CoordinatorHealth,
) -> None:
    assert health.look(100.0 + LOOK_S / 2) is None
    assert health.look(101.0) == 1.0
    assert health.look(101.0 + LOOK_S / 2) is None
    assert health.look(500.0) == MAX_SILENCE_PER_LOOK_S


def test_a_coordinator_that_has_worked_is_hung_sooner_than_one_that_starts(
    health: CoordinatorHealth,
) -> None:
    new, old = SignsOfLife(alone_since_s=100.0), SignsOfLife(alone_since_s=100.0)
    old.report(with_workers=True)
    assert [health.is_hung(old, 2.0) for _ in range(3)] == [False, False, True]
    assert [health.is_hung(new, 2.0) for _ in range(11)] == 10 * [False] + [True]
    old.report(with_workers=False)
    assert not health.is_hung(old, 5.0)
    assert old.has_worked


def test_a_coordinator_without_workers_is_starved_after_a_while(health: CoordinatorHealth) -> None:
    signs = SignsOfLife(alone_since_s=100.0)
    assert not health.is_starved(signs, 100.0 + STARVED_S)
    assert health.is_starved(signs, 100.1 + STARVED_S)


def test_a_run_without_workers_waits_for_those_that_may_come(health: CoordinatorHealth) -> None:
    assert health.is_hopeless(0, 100.0)
    assert not health.is_hopeless(1, 120.0)
    assert health.is_hopeless(1, 120.1)
    health.note_workers(110.0)
    assert not health.is_hopeless(1, 130.0)


def test_losses_in_a_row_end_a_run_and_an_example_that_ends_forgives_them(
    health: CoordinatorHealth,
) -> None:
    for _ in range(MAX_LOSSES_IN_A_ROW):
        health.count_loss("killed")
    health.count_ended()
    for _ in range(MAX_LOSSES_IN_A_ROW):
        health.count_loss("killed")
    with pytest.raises(
        EvaluatorError, match=r"coordinators died 6 times without one example ended .* \(killed\)"
    ):
        health.count_loss("killed")


def test_few_coordinators_of_an_hour_are_done_without_and_none_where_there_is_no_other(
    health: CoordinatorHealth,
) -> None:
    assert not health.can_spare(0, 100.0)
    now_s = 100.0 + SPARED_WITHIN_S
    assert [health.can_spare(1, now_s) for _ in range(MAX_SPARED + 1)] == MAX_SPARED * [True] + [
        False
    ]
    now_s += SPARED_WITHIN_S
    assert [health.can_spare(9, now_s) for _ in range(10)] == 9 * [True] + [False]


def test_as_many_coordinators_as_the_workers_need_unless_somebody_said_how_many() -> None:
    assert [SETTINGS.num_coordinators_for(count) for count in (1, WORKERS_PER_COORDINATOR, 33)] == [
        1,
        1,
        3,
    ]
    assert CoordinatorSettings(num_coordinators=2).num_coordinators_for(33) == 2
