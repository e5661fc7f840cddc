"""Scores and intervals of a paired difference."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from search_cluster.scan.statistics.paired import (
    adjusted_score,
    mcnemar_score,
    tango_interval,
)
from search_cluster.stats import adjusted_difference, adjusted_interval


def one(value: float) -> np.ndarray:
    return np.array([float(value)])


def score_of(fixed: int, broken: int, n: int, difference: float) -> float:
    """The score whose nuisance share a general optimiser finds, not a formula."""

    def minus_likelihood(broken_share: float) -> float:
        shares = np.array([broken_share + difference, broken_share])
        rest = 1 - shares.sum()
        counts = np.array([fixed, broken])
        return -float(counts @ np.log(shares) + (n - fixed - broken) * np.log(rest))

    least, most = max(0.0, -difference) + 1e-9, (1 - difference) / 2 - 1e-9
    found = minimize_scalar(
        minus_likelihood, bounds=(least, most), method="bounded", options={"xatol": 1e-10}
    )
    variance = n * (2 * found.x + difference * (1 - difference))
    return float((fixed - broken - n * difference) / np.sqrt(variance))


@pytest.mark.parametrize(("fixed", "broken", "n"), [(9, 3, 40), (1, 1, 16), (40, 90, 500)])
@pytest.mark.parametrize("bound", [1.96, 3.9])
def test_at_both_ends_of_tangos_interval_the_score_is_the_bound(
    fixed: int, broken: int, n: int, bound: float
) -> None:
    low, high = tango_interval(one(fixed), one(broken), one(n), bound)
    assert score_of(fixed, broken, n, float(low[0])) == pytest.approx(bound, abs=1e-3)
    assert score_of(fixed, broken, n, float(high[0])) == pytest.approx(-bound, abs=1e-3)


def test_where_no_answer_changed_it_is_as_wide_as_wilsons_for_a_share_of_none() -> None:
    low, high = tango_interval(one(0), one(0), one(32), 2.0)
    assert (low[0], high[0]) == (pytest.approx(-4 / 36), pytest.approx(4 / 36))


def test_the_adjusted_interval_begins_at_0_where_its_score_is_the_bound() -> None:
    bound = float(adjusted_score(one(20), one(6), one(100))[0])
    low, high = adjusted_interval(one(20), one(6), one(100), bound)
    assert low[0] == pytest.approx(0.0, abs=1e-12)
    assert high[0] > 0.2


def test_the_adjusted_interval_of_one_difference_is_that_of_many() -> None:
    low, high = adjusted_interval(np.array([3.0, 9.0]), np.array([1.0, 2.0]), one(50), 1.96)
    assert adjusted_difference(3, 1, 50) == (low[0], high[0])
    assert adjusted_difference(9, 2, 50) == (low[1], high[1])


def test_mcnemars_score_of_nothing_changed_is_0() -> None:
    scores = mcnemar_score(np.array([0.0, 9.0, 1.0]), np.array([0.0, 0.0, 4.0]))
    assert scores.tolist() == [0.0, 3.0, pytest.approx(-3 / np.sqrt(5))]
