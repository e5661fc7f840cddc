"""What is usual is learnt from the paths of a race, and only falls with the change."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.scan.constants import RACE
from search_cluster.scan.gain import Gain, shrunk_gain, usual_of_single_layers
from search_cluster.scan.racing.usual import usual_gain

ERROR = 0.03


def truth(change: float) -> float:
    """Blocks may change 40 % of what can be changed and lose nothing; then they lose fast."""
    return -0.5 * max(0.0, change - 0.4)


def raced(num_paths: int, seed: int = 0) -> list[tuple[float, Gain]]:
    rng = random.Random(seed)
    changes = [rng.uniform(0.1, 0.9) for _ in range(num_paths)]
    return [(change, Gain(rng.gauss(truth(change), ERROR), ERROR)) for change in changes]


def test_of_few_paths_nothing_is_learnt() -> None:
    assert usual_gain(raced(RACE.usual_paths - 1)) is usual_of_single_layers
    assert usual_gain(raced(RACE.usual_paths)) is not usual_of_single_layers


def test_what_blocks_usually_gain_is_found() -> None:
    usual = usual_gain(raced(600))
    for change in (0.15, 0.3, 0.39, 0.5, 0.7):
        assert usual(change) == pytest.approx(truth(change), abs=0.012)
    assert usual_of_single_layers(0.39) < truth(0.39) - 0.03  # what it takes the place of


@given(
    seen=st.lists(
        st.tuples(st.floats(0.0, 1.0), st.floats(-1.0, 1.0), st.floats(0.0, 0.2)),
        min_size=RACE.usual_paths,
        max_size=80,
    ),
    order=st.randoms(use_true_random=False),
)
def test_it_never_rises_starts_at_nothing_and_knows_no_order(
    seen: list[tuple[float, float, float]], order: random.Random
) -> None:
    paths = [(change, Gain(mean, error)) for change, mean, error in seen]
    usual = usual_gain(paths)
    values = [usual(change) for change in np.linspace(0.0, 1.0, 101)]
    assert all(np.diff(values) <= 1e-12)
    order.shuffle(paths)
    again = usual_gain(paths)
    assert [again(change) for change in np.linspace(0.0, 1.0, 101)] == values


def test_a_block_that_changes_much_and_gains_comes_before_one_that_changes_little() -> None:
    """With the line of single layers it is the other way round."""
    usual = usual_gain(raced(600))
    block, idle = [0.35, -0.25] * 48, [0.1, -0.1] * 48
    assert shrunk_gain(block, 0.39, usual=usual).mean > shrunk_gain(idle, 0.1, usual=usual).mean
    assert shrunk_gain(block, 0.39).mean < shrunk_gain(idle, 0.1).mean
