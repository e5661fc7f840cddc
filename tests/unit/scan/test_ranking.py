"""The order of candidates by accuracy, by layers, and on the front of both."""

from dataclasses import replace

import pytest

from search_cluster.scan.constants import RACE
from search_cluster.scan.edits import Edit, path_of_edits
from search_cluster.scan.gain import Gain
from search_cluster.scan.racing.ranking import CAUTIOUS, NEUTRAL, OPTIMISTIC, Estimate, ranked
from search_cluster.scan.settings import Aim
from search_cluster.scan.space import Candidate


def estimate(edit: Edit, mean: float, error: float = 0.01, **by_task: float) -> Estimate:
    gain = Gain(mean, error)
    return Estimate(
        candidate=Candidate(path=path_of_edits([edit], 8), edits=(edit,), step=0),
        mean_change=0.2,
        num_questions=96,
        seen=gain,
        gain=gain,
        by_task={task: Gain(value, error) for task, value in by_task.items()},
    )


BEST = estimate(Edit(1, 3, 2), 0.06)
SHORT = estimate(Edit(2, 4, 0), 0.01)
SHORTER = estimate(Edit(2, 5, 0), -0.01)
RUIN = estimate(Edit(2, 8, 0), -0.2)
FEW = (RUIN, SHORT, BEST, SHORTER)


def test_by_layers_bridges_count() -> None:
    crossing = replace(SHORTER, candidate=replace(SHORTER.candidate, crossing=1.5))
    assert ranked((SHORT, crossing), Aim.LAYERS, OPTIMISTIC) == [SHORT, crossing]
    assert ranked((SHORT, SHORTER), Aim.LAYERS, OPTIMISTIC) == [SHORTER, SHORT]


def test_by_accuracy_the_worth_decides() -> None:
    assert ranked(FEW, Aim.ACCURACY, NEUTRAL) == [BEST, SHORT, SHORTER, RUIN]


@pytest.mark.parametrize(
    ("num_errors", "order"),
    [
        (OPTIMISTIC, [SHORTER, SHORT, BEST, RUIN]),
        (NEUTRAL, [SHORT, BEST, SHORTER, RUIN]),
        (CAUTIOUS, [SHORT, BEST, SHORTER, RUIN]),
    ],
)
def test_by_layers_the_shortest_comes_first_that_keeps_its_worth(
    num_errors: float, order: list[Estimate]
) -> None:
    assert ranked(FEW, Aim.LAYERS, num_errors) == order
    unsure = estimate(Edit(2, 5, 0), 0.0, error=0.02)
    assert unsure.keeps(NEUTRAL)
    assert not unsure.keeps(CAUTIOUS)


def test_of_many_that_are_as_short_the_best_one_stands_first() -> None:
    other = estimate(Edit(3, 6, 0), 0.005)  # as short as the next, and worth less
    longer = estimate(Edit(2, 3, 0), 0.005)  # beaten on both counts
    better = estimate(Edit(2, 5, 0), 0.02)
    best = estimate(Edit(4, 5, 0), 0.03)
    items = [other, longer, better, best]
    assert ranked(items, Aim.LAYERS, NEUTRAL) == [better, best, other, longer]


def test_on_the_front_both_orders_take_turns() -> None:
    assert ranked(FEW, Aim.FRONT, OPTIMISTIC) == [BEST, SHORTER, SHORT, RUIN]


@pytest.mark.parametrize("aim", [Aim.ACCURACY, Aim.LAYERS])
def test_what_loses_one_task_of_several_comes_last(aim: Aim) -> None:
    loser = estimate(Edit(1, 4, 0), 0.09, first=0.3, second=-0.05)
    safe = estimate(Edit(1, 2, 0), 0.01, first=0.03, second=-0.005)
    assert ranked([loser, safe], aim, NEUTRAL) == [safe, loser]


def test_a_wreck_surely_loses_much() -> None:
    assert RUIN.is_wreck
    assert not estimate(Edit(2, 8, 0), -0.2, error=0.05).is_wreck
    assert not estimate(Edit(2, 8, 0), -0.09, error=0.0).is_wreck
    few = replace(RUIN, num_questions=RACE.wreck_questions - 1)
    assert not few.is_wreck, "of so few questions no error is known"
