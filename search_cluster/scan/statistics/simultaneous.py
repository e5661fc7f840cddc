"""Intervals and p-values of many paths that hold for all of them at once (max-T).

How far the luckiest of so many paths gets by chance is seen by resampling facts (Westfall and Young
1993, "Resampling-Based Multiple Testing"): the differences of all questions that ask for a fact, of
all paths together, are multiplied with one random number, which keeps the correlation of the paths
and of the questions and leaves no gain. Two kinds of numbers are used, and the larger bound counts.
Random signs give a path alone the exact test of McNemar, however few of its answers changed; but
then their distribution has gaps, and it says nothing of gains other than 0. Normal numbers, with
the path's mean taken out, have no gaps.

The bound then serves in place of 1.96 in two intervals of a paired difference of shares, the score
interval of Tango (1998) and the adjusted one of Bonett and Price (2012), of which the wider end
counts: far out in the tails, where the bound of many paths lies, each alone is too short somewhere
if few answers changed. Where several questions ask for a fact, all counts are divided by their
design effect first (`search_cluster.scan.statistics.design`), and few facts are allowed for by
Student's t.

Shapes: N questions, P paths, F facts, B resamples.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

from search_cluster.scan.statistics.design import Floats
from search_cluster.scan.statistics.differences import Differences, differences_of
from search_cluster.scan.statistics.paired import adjusted_score, mcnemar_score, tango_interval
from search_cluster.scan.statistics.resampling import (
    NUM_RESAMPLES,
    largest_sums,
    normal_numbers,
    random_signs,
)
from search_cluster.stats import NORMAL_BOUND, SIGNIFICANCE, adjusted_interval

ROUNDING = 1e-5
"""The sums of resamples are in float32, so that equal ones may differ by this much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simultaneous:
    """What may be said of the gains of all paths at once, at 95 %."""

    gain: Floats
    """The difference of each path's accuracy from the plain model's; 0 for one that has not run."""
    low: Floats
    """The lower end of its interval."""
    high: Floats
    """The upper end."""
    p_adjusted: Floats
    """The p-value of no difference, for all paths at once; below 0.05 exactly if the interval
    excludes 0."""
    bound_P: Floats
    """How many standard errors each interval reaches: 1.96 for one path, more for many, and for one
    that has met few facts."""


def simultaneous(
    table_NP: Floats,
    facts: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> Simultaneous:
    """The gains of all paths with simultaneous intervals.

    Args:
        table_NP: right(path) - right(plain): 1, 0 or -1, and NaN where a path has not run.
        facts: the fact that each question asks for; ``None``: each another one.
        seed: of the resamples.
        num_resamples: their number; at least 20.

    Raises:
        InvalidValueError: the table is none, or holds another value, or there are more or fewer
            facts than questions.
    """
    answers = differences_of(table_NP, facts)
    fixed_P = answers.num_fixed_P / answers.design_P
    broken_P = answers.num_broken_P / answers.design_P
    has_run_P = answers.num_questions_P > 0
    n_P = np.maximum(1.0, answers.num_questions_P / answers.design_P)
    # The smaller score: both intervals must exclude 0.
    score_P = np.minimum(
        np.abs(mcnemar_score(fixed_P, broken_P)), np.abs(adjusted_score(fixed_P, broken_P, n_P))
    )
    bound_P, p_P = np.full_like(score_P, NORMAL_BOUND), 2.0 * norm.sf(score_P)
    if not answers.facts.are_single:
        # Facts that a path has not met tell nothing of how its answers vary.
        freedom_P = np.maximum(1.0, answers.num_facts_P - 1)
        bound_P, p_P = t.isf(SIGNIFICANCE / 2, freedom_P), 2.0 * t.sf(score_P, freedom_P)
    num_beyond = int(SIGNIFICANCE * (num_resamples + 1))
    resampled = _largest_scores(answers, seed=seed, num_resamples=num_resamples) if n_P.size else []
    for largest_B in resampled:
        bound_P = np.maximum(bound_P, largest_B[-num_beyond] + ROUNDING)
        num_larger_P = num_resamples - np.searchsorted(largest_B, score_P - ROUNDING)
        p_P = np.maximum(p_P, (1.0 + num_larger_P) / (num_resamples + 1.0))
    tango_low_P, tango_high_P = tango_interval(fixed_P, broken_P, n_P, bound_P)
    low_P, high_P = adjusted_interval(fixed_P, broken_P, n_P, bound_P)
    return Simultaneous(
        gain=answers.gain_P,
        low=np.where(has_run_P, np.clip(np.minimum(tango_low_P, low_P), -1.0, 1.0), -1.0),
        high=np.where(has_run_P, np.clip(np.maximum(tango_high_P, high_P), -1.0, 1.0), 1.0),
        p_adjusted=np.where(has_run_P, p_P, 1.0),
        bound_P=bound_P,
    )


def _largest_scores(answers: Differences, *, seed: int, num_resamples: int) -> list[Floats]:
    """The largest score of all paths in resamples without any gain, in rising order.

    The first are those of random signs, the second those of normal numbers.
    """
    return [
        largest_sums(_unit_columns(columns_FP), draw, seed=seed, num_resamples=num_resamples)
        for columns_FP, draw in (
            (answers.facts.sums(answers.values_NP), random_signs),
            (answers.facts.sums(answers.centred()), normal_numbers),
        )
    ]


def _unit_columns(columns_FP: Floats) -> Floats:
    """Columns whose sums have a variance of 1; those without any change stay 0."""
    norms_P = np.sqrt((columns_FP**2).sum(axis=0))
    return columns_FP / np.where(norms_P > 0, norms_P, 1.0)
