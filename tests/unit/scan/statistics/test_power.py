"""The smallest gain that so many questions can show."""

import numpy as np
import pytest
from support.made_up_answers import PLAIN_ACCURACY, differences, no_gain

from search_cluster.errors import InvalidValueError
from search_cluster.scan.statistics.power import smallest_gain
from search_cluster.scan.statistics.simultaneous import simultaneous
from search_cluster.stats import mcnemar_p


@pytest.mark.parametrize(
    ("change", "num_questions", "num_compared", "gain"),
    [
        # A normal approximation for two-sided tests says 0.0307, 0.0439 and 0.0347.
        (0.15, 3800, 929, 0.0308),
        (0.15, 1000, 8, 0.0443),
        (0.15, 1000, 1, 0.0351),
    ],
)
def test_known_figures(change: float, num_questions: int, num_compared: int, gain: float) -> None:
    found = smallest_gain(change, num_questions, num_compared)
    assert found == pytest.approx(gain, abs=0.0002)


@pytest.mark.parametrize(("change", "num_questions"), [(0.15, 300), (0.3, 60), (0.05, 100)])
def test_a_gain_of_that_size_is_seen_in_four_of_five_simulations(
    change: float, num_questions: int
) -> None:
    gain = smallest_gain(change, num_questions)
    changed = max(change, gain)
    rng = np.random.default_rng(0)
    shares = [(changed + gain) / 2, (changed - gain) / 2, 1 - changed]
    draws = rng.multinomial(num_questions, shares, size=3000)
    seen = [fixed > broken and mcnemar_p(fixed, broken) <= 0.05 for fixed, broken, _ in draws]
    assert np.mean(seen) == pytest.approx(0.8, abs=0.025)


def test_simultaneous_intervals_of_eight_paths_show_such_a_gain_as_often() -> None:
    num_questions, num_paths, change = 500, 8, 0.15
    gain = smallest_gain(change, num_questions, num_paths)
    fixes, breaks = no_gain(num_paths, change)
    fixes[0] = (change + gain) / 2 / (1 - PLAIN_ACCURACY)
    breaks[0] = (change - gain) / 2 / PLAIN_ACCURACY
    rng = np.random.default_rng(0)
    shown = []
    for seed in range(200):
        table = differences(rng, num_questions, fixes, breaks, correlation=0.3)
        shown.append(simultaneous(table, seed=seed, num_resamples=400).low[0] > 0)
    assert np.mean(shown) == pytest.approx(0.8, abs=0.08)  # nearly three standard errors


def test_more_questions_show_more_and_more_paths_hide_more() -> None:
    by_questions = [smallest_gain(0.15, number) for number in (16, 64, 250, 1000, 4000)]
    by_paths = [smallest_gain(0.15, 500, number) for number in (1, 8, 100, 929)]
    by_change = [smallest_gain(share, 500) for share in (0.02, 0.05, 0.15, 0.5)]
    assert by_questions == sorted(by_questions, reverse=True)
    assert by_paths == sorted(by_paths)
    assert by_change == sorted(by_change)


def test_too_few_questions_show_nothing() -> None:
    assert smallest_gain(0.15, 5) == 1.0  # five answers more, p = 0.06
    assert smallest_gain(0.15, 0) == 1.0
    assert smallest_gain(0.15, 8) < 1.0


def test_a_path_that_changes_nothing_else_must_fix_a_few_answers() -> None:
    # Six that are fixed and none that is broken are sure; 7.8 of 100 on average are six or more.
    assert smallest_gain(0.0, 100) == pytest.approx(0.078, abs=0.001)


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"a change of 1\.5 with power 0\.8; both are"):
        smallest_gain(1.5, 100)
    with pytest.raises(InvalidValueError, match="-1 questions and 1 paths; there is at least one"):
        smallest_gain(0.1, -1)
