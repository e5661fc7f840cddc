"""What may be said of shares and their differences."""

import pytest
from scipy.stats import binomtest

from search_cluster.stats import (
    Effect,
    adjusted_difference,
    bootstrap_difference,
    is_guessing,
    judge_effect,
    mcnemar_p,
    mean_chance,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("num_fixed", "num_broken", "num_questions", "layers_routed", "guessing", "expected"),
    [
        # An answer more of 16 questions: p = 1.
        (1, 0, 16, 5.0, False, Effect.CANT_TELL),
        (0, 1, 16, 5.0, False, Effect.CANT_TELL),
        # The bootstrap's interval excludes 0, the exact test (p = 0.125) does not.
        (4, 0, 16, 6.0, False, Effect.CANT_TELL),
        (6, 0, 16, 6.0, False, Effect.HELPS),
        (0, 6, 16, 5.0, False, Effect.HURTS),
        # No answer changed, layers are saved: few questions rule out little.
        (0, 0, 3, 5.0, False, Effect.CANT_TELL),
        (0, 0, 16, 5.0, False, Effect.CANT_TELL),
        (0, 0, 300, 5.0, False, Effect.HELPS),
        # Random flips that even out.
        (20, 20, 200, 5.0, False, Effect.CANT_TELL),
        (20, 20, 4000, 5.0, False, Effect.HELPS),
        (20, 20, 4000, 6.0, False, Effect.CANT_TELL),
        (20, 20, 4000, 7.0, False, Effect.HURTS),
        (60, 20, 4000, 7.0, False, Effect.HELPS),
        (20, 60, 4000, 5.0, False, Effect.HURTS),
        # Of a model that guesses, nothing is kept by saving layers; to learn the task is a help.
        (20, 20, 4000, 5.0, True, Effect.CANT_TELL),
        (60, 20, 4000, 5.0, True, Effect.HELPS),
    ],
)
def test_claims_help_and_harm_are_what_the_interval_shows(
    num_fixed: int,
    num_broken: int,
    num_questions: int,
    layers_routed: float,
    guessing: bool,
    expected: Effect,
) -> None:
    found = judge_effect(
        num_fixed,
        num_broken,
        num_questions,
        layers_plain=6.0,
        layers_routed=layers_routed,
        plain_is_guessing=guessing,
    )
    assert found is expected


def test_questions_that_ask_for_one_fact_count_together() -> None:
    def judged(design_effect: float) -> Effect:
        return judge_effect(
            60,
            20,
            4000,
            layers_plain=6.0,
            layers_routed=6.0,
            plain_is_guessing=False,
            design_effect=design_effect,
        )

    assert (judged(1.0), judged(2.0), judged(8.0)) == (Effect.HELPS, Effect.HELPS, Effect.CANT_TELL)
    wide, narrow = (
        bootstrap_difference(60, 20, 400, design_effect=design) for design in (4.0, 1.0)
    )
    assert wide[1] - wide[0] == pytest.approx(2 * (narrow[1] - narrow[0]), rel=0.1)


def test_the_adjusted_interval_by_hand() -> None:
    # p = 10 / 102 and 3 / 102: difference 0.06863, variance (0.12745 - 0.00471) / 102.
    low, high = adjusted_difference(9, 2, 100)
    assert (low, high) == (pytest.approx(0.00064, abs=1e-4), pytest.approx(0.13662, abs=1e-4))
    low, high = adjusted_difference(0, 0, 16)
    assert low == -high < -0.15


@pytest.mark.parametrize(("fixed", "broken"), [(0, 0), (1, 0), (0, 5), (9, 2), (30, 10)])
def test_mcnemar_is_the_exact_binomial_test(fixed: int, broken: int) -> None:
    expected = binomtest(fixed, fixed + broken, 0.5).pvalue if fixed + broken else 1.0
    assert mcnemar_p(fixed, broken) == pytest.approx(expected)
    assert mcnemar_p(fixed / 1.5, broken / 1.5) >= mcnemar_p(fixed, broken)


@pytest.mark.parametrize(
    ("counts", "chance"),
    [([4, 4], 0.25), ([4, 2], 0.375), ([2], 0.5), ([4, 0], None), ([0, 0], None), ([], None)],
)
def test_claims_chance_is_that_of_uniform_guesses(counts: list[int], chance: float | None) -> None:
    assert mean_chance(counts) == chance


@pytest.mark.parametrize(
    ("right", "asked", "chance", "expected"),
    [
        (3, 3, 0.25, False),  # 44 % to 100 %
        (1, 1, 0.25, True),
        (5, 16, 0.25, True),
        (10, 100, 0.25, True),  # surely worse than guesses
        (35, 100, 0.25, False),
        (50, 100, 0.5, True),
        (0, 0, 0.25, True),
        (50, 100, None, None),
    ],
)
def test_claims_a_model_is_better_than_guessing_only_if_its_interval_is(
    right: int, asked: int, chance: float | None, expected: bool | None
) -> None:
    assert is_guessing(wilson_interval(right, asked)[0], chance) is expected
