"""Design effects by hand, and intervals that hold although questions ask for few facts."""

from collections.abc import Hashable, Sequence

import numpy as np
import pytest

from search_cluster.errors import InvalidValueError
from search_cluster.scan.statistics.chance import best_by_chance
from search_cluster.scan.statistics.design import Facts, design_effects, effective_counts
from search_cluster.scan.statistics.simultaneous import Simultaneous, simultaneous

NUM_SIMULATED = 150
RESAMPLES = 400


def effects(values: list[list[float]], facts: Sequence[Hashable]) -> list[float]:
    table_NP = np.array(values)
    has_run_NP = ~np.isnan(table_NP)
    values_NP = np.where(has_run_NP, table_NP, 0.0)
    return design_effects(values_NP, has_run_NP, Facts.of(facts, len(values))).tolist()


def test_independent_questions_and_questions_that_cancel_have_no_effect() -> None:
    assert effects([[1.0], [0.0], [-1.0]], [3, 1, 2]) == [1.0]
    assert effects([[1.0], [-1.0]] * 8, [n // 2 for n in range(16)]) == [1.0]


def test_questions_that_agree_count_once() -> None:
    values = [[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]] * 20
    facts = list(range(80))
    alike = [value for value in values for _ in range(6)]
    of_six = [fact for fact in facts for _ in range(6)]
    agree, unchanged = effects(alike, of_six)
    assert agree == pytest.approx(6, rel=0.02)
    assert unchanged == 6, "nothing changed, so that nothing says how alike they are"
    assert effects([[1.0], [0.0], [0.0], [-1.0]], [1, 1, 1, 1]) == [4.0]


def test_only_questions_that_ran_count() -> None:
    nan = np.nan
    (short,) = effects([[1.0], [1.0], [0.0], [0.0], [-1.0], [-1.0], [nan], [nan]], [*"aabbccdd"])
    (whole,) = effects([[1.0], [1.0], [0.0], [0.0], [-1.0], [-1.0]], [*"aabbcc"])
    assert short == whole > 1.9


def test_shares_are_counted_by_facts() -> None:
    right_N = np.repeat([1.0, 0.0, 1.0, 1.0], 5)
    facts = Facts.of(np.repeat(range(4), 5).tolist(), 20)
    num_right, num_asked = effective_counts(right_N, facts)
    assert num_right / num_asked == pytest.approx(0.75)
    assert 3.0 < num_asked < 4.0
    assert effective_counts(right_N, Facts.of(None, 20)) == (15.0, 20.0)
    assert effective_counts(np.zeros(0), Facts.of([], 0)) == (0.0, 0.0)


def test_facts_are_of_these_questions() -> None:
    for asked in (simultaneous, best_by_chance):
        with pytest.raises(InvalidValueError, match="2 facts for 3 questions; give one for each"):
            asked(np.zeros((3, 1)), [1, 2])


def test_facts_of_one_question_each_change_nothing() -> None:
    rng = np.random.default_rng(0)
    table_NP = rng.integers(-1, 2, size=(60, 5)).astype(float)
    alone, named = simultaneous(table_NP), simultaneous(table_NP, [f"fact {n}" for n in range(60)])
    for one, other in zip(*(vars_of(item) for item in (alone, named)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert best_by_chance(table_NP) == best_by_chance(table_NP, range(60))


def vars_of(found: Simultaneous) -> list[object]:
    return [found.gain, found.low, found.high, found.p_adjusted, found.bound_P]


def test_asking_each_question_six_times_makes_nothing_surer() -> None:
    rng = np.random.default_rng(1)
    once_NP = rng.choice([-1.0, 0.0, 1.0], p=[0.1, 0.7, 0.2], size=(120, 4))
    once, often = (
        simultaneous(np.repeat(once_NP, times, axis=0), np.repeat(range(120), times).tolist())
        for times in (1, 6)
    )
    np.testing.assert_allclose(often.gain, once.gain)
    width, wider = once.high - once.low, often.high - often.low
    assert (wider >= width * 0.999).all()
    assert (wider <= width * 1.05).all()
    np.testing.assert_allclose(often.p_adjusted, once.p_adjusted, rtol=0.3, atol=0.002)
    assert best_by_chance(np.repeat(once_NP, 6, axis=0), np.repeat(range(120), 6).tolist()) == (
        pytest.approx(best_by_chance(once_NP), rel=0.05)
    )


def asked_often(
    rng: np.random.Generator, num_facts: int, shares: tuple[float, float], alike: float
) -> tuple[np.ndarray, list[int]]:
    """Differences of three paths on questions of a fact that answer alike with some chance."""
    counts = rng.integers(1, 12, size=num_facts)
    fact_N = np.repeat(np.arange(num_facts), counts)
    chances = [shares[0], 1.0 - sum(shares), shares[1]]
    of_fact_FP = rng.choice([1.0, 0.0, -1.0], p=chances, size=(num_facts, 3))
    own_NP = rng.choice([1.0, 0.0, -1.0], p=chances, size=(len(fact_N), 3))
    is_alike_NP = rng.random(own_NP.shape) < alike
    return np.where(is_alike_NP, of_fact_FP[fact_N], own_NP), fact_N.tolist()


@pytest.mark.parametrize(
    ("num_facts", "shares", "alike"),
    [
        (80, (0.1, 0.1), 0.6),
        (80, (0.15, 0.05), 0.8),
        (15, (0.2, 0.2), 0.7),
        (80, (0.02, 0.02), 0.9),
    ],
)
def test_intervals_hold_although_questions_ask_for_few_facts(
    num_facts: int, shares: tuple[float, float], alike: float
) -> None:
    """Of 0.95 at least 0.90 is asked; by questions alone they hold far more rarely."""
    rng = np.random.default_rng(2)
    num_held = num_held_by_question = 0
    for _ in range(NUM_SIMULATED):
        table_NP, facts = asked_often(rng, num_facts, shares, alike)
        for_facts = simultaneous(table_NP, facts, num_resamples=RESAMPLES)
        for_questions = simultaneous(table_NP, num_resamples=RESAMPLES)
        true = shares[0] - shares[1]
        num_held += bool(((for_facts.low <= true) & (true <= for_facts.high)).all())
        num_held_by_question += bool(
            ((for_questions.low <= true) & (true <= for_questions.high)).all()
        )
    assert num_held >= 0.90 * NUM_SIMULATED
    assert num_held_by_question <= 0.75 * NUM_SIMULATED
