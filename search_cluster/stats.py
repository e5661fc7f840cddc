"""Shares and differences of shares, with their 95 % intervals, and what may be said of them.

Counts may be effective ones: those of questions that are not independent, by their design effect
(`search_cluster.scan.statistics.design`). All functions here are pure.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

CONFIDENCE = 0.95
"""The confidence of all intervals here."""
NUM_RESAMPLES = 10_000
"""The number of resamples of the bootstrap; its seed is fixed, so that equal answers give equal
intervals."""
SIGNIFICANCE = 0.05
"""Below this p-value a difference counts as more than luck."""
TOLERATED_LOSS = 0.01
"""The loss of accuracy that must be ruled out, as a share of all questions, where fewer layers are
the gain."""


NORMAL_BOUND = 1.96
"""How many standard errors an interval of one normal figure reaches to each side."""

Counts = TypeVar("Counts", np.float64, NDArray[np.float64])


class Effect(StrEnum):
    """What a second model does to the answers of a first one, as far as the questions show it."""

    HELPS = "helps"
    HURTS = "hurts"
    CANT_TELL = "can't tell"


EFFECT_RULE = (
    "helps: a higher accuracy, or fewer layers where the plain model is not guessing and a loss of "
    f"more than {100 * TOLERATED_LOSS:g} point is ruled out; hurts: a lower accuracy, or more "
    f"layers where a gain of more than {100 * TOLERATED_LOSS:g} point is ruled out; a difference "
    "counts if its 95 % interval excludes 0 and the exact McNemar p is below "
    f"{SIGNIFICANCE:g}; can't tell: neither is shown"
)
"""The rule of `judge_effect` in words."""


def wilson_interval(num_right: float, num_questions: float) -> tuple[float, float]:
    """The 95 % interval of Wilson (1927) for a share; (0, 1) without questions."""
    if num_questions == 0:
        return 0.0, 1.0
    # Here, because it takes a second and 80 MB, which commands without shares need not pay.
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(num_right, num_questions, alpha=1 - CONFIDENCE, method="wilson")
    return float(low), float(high)


def share_of(part: int, whole: int) -> dict[str, Any] | None:
    """The share with the bounds of its 95 % Wilson interval, ready for JSON.

    The share of nothing is ``None``.
    """
    if not whole:
        return None
    low, high = wilson_interval(part, whole)
    return {"share": part / whole, "low": low, "high": high}


def mean_chance(num_choices: Iterable[int]) -> float | None:
    """The accuracy of uniform guesses at questions with so many choices each.

    It is ``None`` without questions, or if one of them has no choices to guess from.
    """
    counts = list(num_choices)
    return sum(1 / count for count in counts) / len(counts) if counts and all(counts) else None


def is_guessing(low: float, chance: float | None) -> bool | None:
    """Whether an accuracy whose interval begins at ``low`` can't be told from guesses, or is worse.

    It is ``None`` where chance is unknown. The interval's other end takes no part in it: who is
    surely worse than guesses can't do the task either.
    """
    return None if chance is None else low <= chance


def mcnemar_p(num_fixed: float, num_broken: float) -> float:
    """The p-value of McNemar's exact two-sided test; 1 where the two models never differ.

    The binomial tail is an incomplete beta function, which effective counts have, too.
    """
    fewer, more = sorted((num_fixed, num_broken))
    return 1.0 if more == 0 else min(1.0, 2.0 * float(betainc(more, fewer + 1, 0.5)))


def adjusted_difference(
    num_fixed: float, num_broken: float, num_questions: float
) -> tuple[float, float]:
    """The 95 % interval of Bonett and Price (2012) for a paired difference of shares.

    Unlike the bootstrap's it has a width where no answer changed: few questions rule out little.
    """
    low, high = adjusted_interval(
        np.float64(num_fixed), np.float64(num_broken), np.float64(num_questions), NORMAL_BOUND
    )
    return float(low), float(high)


def adjusted_interval(
    num_fixed: Counts, num_broken: Counts, num_questions: Counts, bound: Counts | float
) -> tuple[Counts, Counts]:
    """The interval of `adjusted_difference` at another confidence, of one difference or of many.

    Args:
        num_fixed: questions that the second model alone answers right.
        num_broken: questions that the first model alone answers right.
        num_questions: the number of all questions.
        bound: how many standard errors the interval reaches to each side.
    """
    n = num_questions + 2
    fixed, broken = (num_fixed + 1) / n, (num_broken + 1) / n
    half = bound * np.sqrt((fixed + broken - (fixed - broken) ** 2) / n)
    return fixed - broken - half, fixed - broken + half


def judge_effect(
    num_fixed: int,
    num_broken: int,
    num_questions: int,
    *,
    layers_plain: float,
    layers_routed: float,
    plain_is_guessing: bool,
    design_effect: float = 1.0,
) -> Effect:
    """What the second model does, by `EFFECT_RULE`.

    Args:
        num_fixed: questions that the second model alone answers right.
        num_broken: questions that the first model alone answers right.
        num_questions: the number of all questions; at least one.
        layers_plain: what the first model runs per question.
        layers_routed: what the second one runs.
        plain_is_guessing: whether the first model can't do the task, so that there is no accuracy
            to keep.
        design_effect: how many questions say as much as one independent question.
    """
    low, high = bootstrap_difference(
        num_fixed, num_broken, num_questions, design_effect=design_effect
    )
    counts = [count / design_effect for count in (num_fixed, num_broken, num_questions)]
    is_significant = mcnemar_p(*counts[:2]) < SIGNIFICANCE
    if is_significant and low > 0:
        return Effect.HELPS
    if is_significant and high < 0:
        return Effect.HURTS
    adjusted_low, adjusted_high = adjusted_difference(*counts)
    keeps = min(low, adjusted_low) >= -TOLERATED_LOSS
    gains_nothing = max(high, adjusted_high) <= TOLERATED_LOSS
    if layers_routed < layers_plain and keeps and not plain_is_guessing:
        return Effect.HELPS
    if layers_routed > layers_plain and gains_nothing:
        return Effect.HURTS
    return Effect.CANT_TELL


def bootstrap_difference(
    num_fixed: int, num_broken: int, num_questions: int, *, design_effect: float = 1.0
) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of a difference in accuracy.

    The difference is that of the second minus the first model, on the same questions.

    Questions are resampled with their pair of answers. All that counts of a resample is how many
    questions are fixed, broken and neither, so that it is one multinomial draw.

    Args:
        num_fixed: questions that the second model alone answers right.
        num_broken: questions that the first model alone answers right.
        num_questions: the number of all questions; at least one.
        design_effect: how many questions say as much as one independent question.
    """
    num_drawn = max(1, round(num_questions / design_effect))
    shares = [num_fixed / num_questions, num_broken / num_questions]
    shares.append((num_questions - num_fixed - num_broken) / num_questions)
    counts = np.random.default_rng(0).multinomial(num_drawn, shares, size=NUM_RESAMPLES)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile((counts[:, 0] - counts[:, 1]) / num_drawn, [tail, 1 - tail])
    return float(low), float(high)
