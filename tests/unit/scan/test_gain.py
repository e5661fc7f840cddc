"""Estimates from few answers are drawn to what is usual, those from many are not."""

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.scan.constants import ANSWERS
from search_cluster.scan.gain import Gain, mean_gain, shrunk_gain

GAINS = st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=60)


def test_the_mean_and_its_error_are_the_textbook_ones() -> None:
    gains = [0.1, -0.2, 0.4, 0.0, 0.3]
    found = mean_gain(gains)
    assert found.mean == pytest.approx(statistics.fmean(gains))
    assert found.error == pytest.approx(statistics.pstdev(gains) / len(gains) ** 0.5)


@given(gains=GAINS, change=st.floats(0.0, 1.0))
def test_a_shrunk_gain_lies_between_the_mean_and_what_is_usual_and_is_surer(
    gains: list[float], change: float
) -> None:
    seen, shrunk = mean_gain(gains), shrunk_gain(gains, change)
    usual = ANSWERS.prior_slope * (ANSWERS.harmless_change - change)
    assert min(seen.mean, usual) - 1e-12 <= shrunk.mean <= max(seen.mean, usual) + 1e-12
    assert shrunk.error <= min(seen.error, ANSWERS.prior_spread) + 1e-12


def test_many_answers_are_believed_and_few_are_not() -> None:
    lucky = [0.3, -0.1] * 12
    assert shrunk_gain(lucky, 0.4).mean < 0.0
    assert shrunk_gain(lucky * 100, 0.4).mean == pytest.approx(0.1, abs=0.01)


@given(gains=GAINS, change=st.floats(0.0, 0.9))
def test_of_two_paths_with_the_same_gains_the_one_that_changes_less_is_worth_more(
    gains: list[float], change: float
) -> None:
    assert shrunk_gain(gains, change).mean >= shrunk_gain(gains, change + 0.1).mean


def test_the_best_of_many_equally_good_paths_is_no_longer_flattered() -> None:
    """With true gains as the prior has them, the winner's estimate is right, its mean is not."""
    rng = random.Random(0)
    flattery, error = [], []
    for _ in range(300):
        runners = []
        for _ in range(12):
            truth = rng.gauss(0.0, ANSWERS.prior_spread)
            gains = [rng.gauss(truth, 0.2) for _ in range(24)]
            runners.append(
                (shrunk_gain(gains, ANSWERS.harmless_change).mean, mean_gain(gains).mean, truth)
            )
        best, plain, truth = max(runners)
        flattery.append(plain - truth)
        error.append(best - truth)
    assert statistics.fmean(flattery) > 0.04
    assert abs(statistics.fmean(error)) < 0.005


def test_what_keeps_the_worth_even_if_the_questions_flatter_it() -> None:
    gain = Gain(0.01, 0.02)
    assert (gain.at(1.0), gain.at(-1.0)) == (pytest.approx(0.03), pytest.approx(-0.01))
    assert gain.keeps(0.01, 1.0)
    assert not gain.keeps(0.01, 1.1)
    assert Gain(-0.03, 0.02).keeps(0.01, -1.0)
