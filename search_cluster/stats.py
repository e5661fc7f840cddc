"""Shares and differences of shares, with their 95 % intervals.

All functions here are pure.
"""

from typing import Any

import numpy as np
from statsmodels.stats.proportion import proportion_confint

CONFIDENCE = 0.95
"""The confidence of all intervals here."""
NUM_RESAMPLES = 10_000
"""The number of resamples of the bootstrap; its seed is fixed, so that equal answers give equal
intervals."""


def wilson_interval(num_right: int, num_questions: int) -> tuple[float, float]:
    """The 95 % interval of Wilson (1927) for a share; (0, 1) without questions."""
    if num_questions == 0:
        return 0.0, 1.0
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


def bootstrap_difference(
    num_fixed: int, num_broken: int, num_questions: int
) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of a difference in accuracy.

    The difference is that of the second minus the first model, on the same questions.

    Questions are resampled with their pair of answers. All that counts of a resample is how many
    questions are fixed, broken and neither, so that it is one multinomial draw.

    Args:
        num_fixed: questions that the second model alone answers right.
        num_broken: questions that the first model alone answers right.
        num_questions: the number of all questions; at least one.
    """
    shares = [num_fixed / num_questions, num_broken / num_questions]
    shares.append((num_questions - num_fixed - num_broken) / num_questions)
    counts = np.random.default_rng(0).multinomial(num_questions, shares, size=NUM_RESAMPLES)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile((counts[:, 0] - counts[:, 1]) / num_questions, [tail, 1 - tail])
    return float(low), float(high)
