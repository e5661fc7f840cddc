import numpy as np

from search_cluster.depth.choices import ChoiceScores
from search_cluster.depth.resamples import Measured
from search_cluster.depth.verdicts import (
    DepthAgreement,
    check_prefixes,
    compare_depths,
    depth_bands,
    redrawn,
    spearman,
    verdict_depth,
)

ANSWERS_LQ = np.array([[0, 1, 0], [1, 1, 0], [0, 1, 1], [0, 1, 1]])


def scores_of(best_SQ: np.ndarray, gap: float = 1.0) -> ChoiceScores:
    return ChoiceScores(score_SQC=gap * np.eye(2)[best_SQ])


def width(item: Measured) -> float:
    assert item.low is not None
    assert item.high is not None
    return item.high - item.low


def test_verdict_depth_is_where_all_deeper_prefixes_agree() -> None:
    assert verdict_depth(ANSWERS_LQ).tolist() == [3, 1, 3]


def test_prefixes_that_say_what_the_lens_says_pass() -> None:
    best_SQ = np.concatenate([[[1, 0, 1]], ANSWERS_LQ])  # depth 0 has no path
    gold_Q = np.array([0, 1, 1])
    margin_LQ = np.where(gold_Q == ANSWERS_LQ, 1.0, -1.0)
    check = check_prefixes(scores_of(best_SQ), gold_Q, ANSWERS_LQ, margin_LQ, threshold=1e-4)
    assert (check.pairs, check.mismatches, check.ties) == (12, 0, 0)
    assert check.largest_difference == 0


def test_a_lens_that_is_one_depth_off_is_found_out() -> None:
    best_SQ = np.concatenate([ANSWERS_LQ, ANSWERS_LQ[-1:]])
    check = check_prefixes(
        scores_of(best_SQ), np.zeros(3, int), ANSWERS_LQ, np.ones((4, 3)), threshold=1e-4
    )
    assert check.mismatches == 3


def test_a_difference_within_the_threshold_is_a_tie() -> None:
    best_SQ = 1 - np.concatenate([ANSWERS_LQ[:1], ANSWERS_LQ])
    check = check_prefixes(
        scores_of(best_SQ, gap=1e-5), np.zeros(3, int), ANSWERS_LQ, np.ones((4, 3)), threshold=1e-4
    )
    assert (check.mismatches, check.ties) == (0, 12)


def test_equal_depths_correlate_wholly_and_fill_the_diagonal() -> None:
    rng = np.random.default_rng(0)
    settled_Q = rng.integers(1, 10, size=60)
    final_Q = rng.integers(0, 2, size=60)
    depths = np.arange(1, 11)[:, None]
    answer_LQ = np.where(depths >= settled_Q, final_Q, 1 - final_Q)
    best_SQ = np.concatenate([1 - answer_LQ[-1:], answer_LQ])
    found = compare_depths("logit", scores_of(best_SQ), final_Q, answer_LQ)
    assert found.difference.value == 0
    assert found.spearman.value == 1
    assert found.kappa.value == 1
    off = [row[place] for place, row in enumerate(found.confusion_right)]
    assert sum(off) == 60 == sum(map(sum, found.confusion_right))
    assert found.agreement.value[-1] == 1


def test_small_things() -> None:
    assert np.isnan(spearman(np.ones(4), np.arange(4.0)))
    assert spearman(np.arange(4.0), -np.arange(4.0)) == -1
    assert depth_bands(np.array([0.0, 10.0, 11.0, 30.0]), 30).tolist() == [0, 0, 1, 2]
    found = redrawn(lambda rows: float(rows.mean()), np.arange(50))
    assert found.value == 24.5
    assert (found.low or 0) < 24.5 < (found.high or 0)


def test_to_ask_each_fact_several_times_says_no_more() -> None:
    value_F = np.random.default_rng(1).normal(size=50)
    value_N, fact_N = np.tile(value_F, 4), np.tile(np.arange(50), 4)
    once = redrawn(lambda rows: float(value_F[rows].mean()), np.arange(50))
    often = redrawn(lambda rows: float(value_N[rows].mean()), fact_N)
    assert (often.value, often.low, often.high) == (once.value, once.low, once.high)
    assert (often.n, often.prompts) == (200, 50)
    as_if_apart = redrawn(lambda rows: float(value_N[rows].mean()), np.arange(200))
    assert width(as_if_apart) < 0.6 * width(often)


def test_verdict_depths_are_drawn_by_facts() -> None:
    rng = np.random.default_rng(0)
    settled_Q, final_Q = rng.integers(1, 10, size=60), rng.integers(0, 2, size=60)

    def agreement(times: int) -> DepthAgreement:
        gold_Q = np.tile(final_Q, times)
        answer_LQ = np.where(
            np.arange(1, 11)[:, None] >= np.tile(settled_Q, times), gold_Q, 1 - gold_Q
        )
        best_SQ = np.concatenate([1 - answer_LQ[-1:], answer_LQ])
        facts = np.tile(np.arange(60), times)
        return compare_depths("logit", scores_of(best_SQ), gold_Q, answer_LQ, facts)

    once, often = agreement(1), agreement(4)
    for name in ("verdict_depth", "lens_depth"):
        alone, again = getattr(once, name), getattr(often, name)
        assert (again.value, again.low, again.high) == (alone.value, alone.low, alone.high)
        assert (again.n, again.prompts) == (240, 60)
