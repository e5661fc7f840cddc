"""What the best of many paths gains by chance."""

import numpy as np
import pytest
from support.made_up_answers import differences, no_gain

from search_cluster.scan.statistics.chance import best_by_chance


def test_of_a_path_and_its_opposite_the_better_gains_the_distance_of_a_walk() -> None:
    # The mean distance of a walk of four steps is 1.5 steps.
    table = np.array([[1.0, -1.0]] * 4)
    assert best_by_chance(table, num_resamples=50_000) == pytest.approx(1.5 / 4, abs=0.005)


def test_a_path_alone_gains_nothing_by_chance_however_good_it_is() -> None:
    assert best_by_chance(np.ones((50, 1)), num_resamples=50_000) == pytest.approx(0, abs=0.003)


@pytest.mark.parametrize(
    ("num_questions", "change", "gain"), [(16, 0.15, 0.30), (32, 0.15, 0.21), (100, 0.3, 0.17)]
)
def test_the_best_of_465_idle_paths_seems_to_gain_much(
    num_questions: int, change: float, gain: float
) -> None:
    rng = np.random.default_rng(0)
    shares = [change / 2, 1 - change, change / 2]
    table = rng.choice([-1.0, 0.0, 1.0], p=shares, size=(num_questions, 465))
    assert best_by_chance(table) == pytest.approx(gain, abs=0.02)


def test_paths_that_change_the_same_answers_gain_less_by_chance() -> None:
    chances = no_gain(200, 0.2)
    apart, alike = (
        best_by_chance(differences(np.random.default_rng(1), 64, *chances, correlation=share))
        for share in (0.1, 0.95)
    )
    assert alike < 0.7 * apart


def test_it_says_what_the_best_of_idle_paths_does_seem_to_gain() -> None:
    rng = np.random.default_rng(4)
    said, seen = [], []
    for seed in range(60):
        table = differences(rng, 48, *no_gain(100, 0.25), correlation=0.5)
        said.append(best_by_chance(table, seed=seed, num_resamples=400))
        seen.append(table.mean(axis=0).max())
    assert np.mean(said) == pytest.approx(np.mean(seen), abs=0.012)


def test_nothing_compared_gains_nothing() -> None:
    assert best_by_chance(np.zeros((0, 3))) == 0.0
    assert best_by_chance(np.zeros((5, 0))) == 0.0
    assert best_by_chance(np.full((5, 2), np.nan)) == 0.0
    assert best_by_chance(np.zeros((5, 2))) == 0.0
