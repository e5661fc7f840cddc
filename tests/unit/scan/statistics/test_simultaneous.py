"""Intervals and p-values that hold for all paths at once: known answers, and cover by simulation.

Of a share of 0.95 that is seen in so few simulations at least 0.90 is asked: three standard errors.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, t
from support.made_up_answers import PLAIN_ACCURACY, differences, no_gain, true_gains

from search_cluster.errors import InvalidValueError
from search_cluster.scan.statistics.paired import tango_interval
from search_cluster.scan.statistics.simultaneous import Simultaneous, simultaneous
from search_cluster.stats import adjusted_interval, mcnemar_p

NUM_SIMULATED = 150
RESAMPLES = 400


def column(fixed: int, broken: int, num_questions: int) -> np.ndarray:
    values = [1.0] * fixed + [-1.0] * broken + [0.0] * (num_questions - fixed - broken)
    return np.array(values)[:, None]


def test_one_path_has_the_plain_interval_and_the_exact_p() -> None:
    found = simultaneous(column(60, 30, 400), num_resamples=20_000)
    assert found.bound_P.tolist() == [pytest.approx(1.96, abs=0.08)]
    counts = (np.array([60.0]), np.array([30.0]), np.array([400.0]))
    tango = tango_interval(*counts, found.bound_P)
    adjusted = adjusted_interval(*counts, found.bound_P)
    assert found.low == min(tango[0], adjusted[0])
    assert found.high == max(tango[1], adjusted[1])
    assert found.gain == 30 / 400
    assert found.p_adjusted[0] == pytest.approx(mcnemar_p(60, 30), abs=0.001)


@pytest.mark.parametrize(("fixed", "broken"), [(4, 0), (5, 0), (6, 0), (8, 1), (1, 10)])
def test_with_few_changes_a_path_alone_is_never_surer_than_mcnemars_exact_test(
    fixed: int, broken: int
) -> None:
    found = simultaneous(column(fixed, broken, 32), num_resamples=20_000)
    assert found.p_adjusted[0] > mcnemar_p(fixed, broken) - 0.003


@pytest.mark.parametrize("changed", [0, 1])
def test_a_path_that_changed_hardly_an_answer_has_a_sensible_width(changed: int) -> None:
    found = simultaneous(column(changed, 0, 32))
    assert found.low[0] < -0.05
    assert 0.10 < found.high[0] < 0.20
    assert found.p_adjusted[0] == 1.0


def test_independent_paths_have_the_bound_of_so_many_normal_numbers() -> None:
    rng = np.random.default_rng(0)
    table = rng.choice([-1.0, 0.0, 1.0], p=[0.15, 0.7, 0.15], size=(600, 100))
    found = simultaneous(table, num_resamples=8000)
    assert len(set(found.bound_P)) == 1
    assert found.bound_P[0] == pytest.approx(norm.isf((1 - 0.95 ** (1 / 100)) / 2), abs=0.1)


def test_a_hundred_copies_of_a_path_cost_nothing() -> None:
    alone = simultaneous(column(60, 30, 400))
    copies = simultaneous(np.repeat(column(60, 30, 400), 100, axis=1))
    assert copies.bound_P == pytest.approx(np.repeat(alone.bound_P, 100), abs=1e-4)
    assert copies.low == pytest.approx(np.repeat(alone.low, 100), abs=1e-5)


def test_paths_that_ran_on_fewer_questions_count_by_their_own() -> None:
    table = np.concatenate([column(60, 30, 400), column(60, 30, 400)], axis=1)
    table[100:, 1] = np.nan
    found = simultaneous(table)
    assert found.gain.tolist() == [30 / 400, 30 / 100]
    assert found.high[1] - found.low[1] > 2 * (found.high[0] - found.low[0])


def test_facts_that_a_path_has_not_met_make_it_no_surer() -> None:
    """24 questions of 4 facts, all answered wrong instead of right: three degrees of freedom."""
    few = np.full((24, 1), -1.0)
    facts = np.repeat(range(4), 6).tolist()
    alone = simultaneous(few, facts)
    others = np.concatenate([few, np.full((500, 1), np.nan)])
    beside = simultaneous(others, [*facts, *range(4, 504)])
    assert alone.bound_P[0] >= t.isf(0.025, 3)
    for one, other in ((alone.high, beside.high), (alone.p_adjusted, beside.p_adjusted)):
        assert other == pytest.approx(one, rel=0.2)
    assert beside.high[0] > 0.1


def test_of_a_path_that_has_not_run_nothing_is_known() -> None:
    table = np.concatenate([column(20, 2, 100), np.full((100, 1), np.nan)], axis=1)
    found = simultaneous(table)
    assert (found.gain[1], found.low[1], found.high[1], found.p_adjusted[1]) == (0, -1, 1, 1)
    assert found.low[0] > 0


def test_no_path_and_no_question_are_no_fault() -> None:
    assert simultaneous(np.zeros((5, 0))).gain.shape == (0,)
    assert simultaneous(np.zeros((0, 2))).high.tolist() == [1.0, 1.0]


def test_the_same_seed_gives_the_same_bits() -> None:
    table = differences(np.random.default_rng(3), 64, *no_gain(30, 0.3), correlation=0.5)
    one, other = simultaneous(table, seed=7), simultaneous(table, seed=7)
    assert one.low.tobytes() == other.low.tobytes()
    assert one.bound_P[0] != simultaneous(table, seed=8).bound_P[0]


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_p_is_below_5_percent_exactly_where_the_interval_excludes_0(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 80)), int(rng.integers(1, 12)))
    fixed, broken = rng.uniform(0, 0.7), rng.uniform(0, 0.3)
    table = rng.choice([1.0, -1.0, 0.0], p=[fixed, broken, 1 - fixed - broken], size=shape)
    for path in range(shape[1]):
        table[rng.integers(0, shape[0] + 1) :, path] = np.nan
    found = simultaneous(table, num_resamples=RESAMPLES)
    excludes = (found.low > 0) | (found.high < 0)
    assert excludes.tolist() == (found.p_adjusted < 0.05).tolist()
    assert (found.low <= found.gain).all()
    assert (found.gain <= found.high).all()


@pytest.mark.parametrize("value", [0.5, 2.0, np.inf])
def test_a_difference_that_is_none_of_answers_is_refused(value: float) -> None:
    with pytest.raises(InvalidValueError, match=f"a difference of {value:g}; answers are right or"):
        simultaneous(np.array([[0.0, value]]))
    with pytest.raises(InvalidValueError, match="a row for each question"):
        simultaneous(np.zeros(4))


@pytest.mark.parametrize("num_questions", [16, 32, 200, 500])
@pytest.mark.parametrize(("num_paths", "correlation"), [(1, 0.0), (8, 0.5), (60, 0.5), (60, 0.9)])
def test_without_any_gain_a_path_is_rarely_called_better_or_worse(
    num_questions: int, num_paths: int, correlation: float
) -> None:
    rng = np.random.default_rng(1)
    chances = no_gain(num_paths, 0.15)
    called = [
        _simulated(rng, num_questions, chances, correlation).p_adjusted.min() < 0.05
        for _ in range(NUM_SIMULATED)
    ]
    assert np.mean(called) <= 0.10


@pytest.mark.parametrize("num_questions", [16, 32, 200])
@pytest.mark.parametrize("correlation", [0.0, 0.6])
@pytest.mark.parametrize("change", [0.03, 0.15, 1.0])
def test_all_true_gains_are_within_the_intervals_19_times_of_20(
    num_questions: int, correlation: float, change: float
) -> None:
    rng = np.random.default_rng(2)
    num_held = 0
    for _ in range(NUM_SIMULATED):
        # A third change nothing for the worse, a third ruin the model, the others do both.
        fixes = change * rng.uniform(0.0, 0.7, size=40)
        breaks = change * rng.uniform(0.0, 0.4, size=40)
        breaks[:13], breaks[13:26] = 0.0, change * rng.uniform(0.5, 1.0, size=13)
        found = _simulated(rng, num_questions, (fixes, breaks), correlation)
        true = true_gains(fixes, breaks)
        num_held += bool(((found.low <= true) & (true <= found.high)).all())
    assert num_held / NUM_SIMULATED >= 0.90


@pytest.mark.parametrize(("num_questions", "share"), [(32, 0.01), (96, 0.1), (300, 0.02)])
def test_of_many_paths_that_only_fix_answers_the_lucky_ones_are_not_misjudged(
    num_questions: int, share: float
) -> None:
    rng = np.random.default_rng(3)
    chances = (np.full(200, share / (1 - PLAIN_ACCURACY)), np.zeros(200))
    num_held = 0
    for _ in range(NUM_SIMULATED):
        found = _simulated(rng, num_questions, chances, 0.2)
        num_held += bool((found.low <= share).all() and (found.high >= share).all())
    assert num_held / NUM_SIMULATED >= 0.90


def _simulated(
    rng: np.random.Generator,
    num_questions: int,
    chances: tuple[np.ndarray, np.ndarray],
    correlation: float,
) -> Simultaneous:
    table = differences(rng, num_questions, *chances, correlation=correlation)
    return simultaneous(table, seed=int(rng.integers(2**31)), num_resamples=RESAMPLES)
