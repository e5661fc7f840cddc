"""How small a gain so many questions can show."""

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

from search_cluster.errors import InvalidValueError
from search_cluster.stats import SIGNIFICANCE

UNLIKELY = 1e-6
"""Numbers of changed answers that are rarer than this count for nothing."""


def smallest_gain(
    change_share: float, num_questions: int, num_compared: int = 1, power: float = 0.8
) -> float:
    """The smallest true gain that the exact test of McNemar shows with that power.

    Args:
        change_share: share of the answers that a path changes; a gain that is larger changes as
            many as it must.
        num_questions: the number of questions.
        num_compared: how many paths share the 5 % of wrong claims (Bonferroni); for paths that are
            correlated the answer is a little too large.
        power: how likely it is to be seen.

    Returns:
        A difference of accuracies; 1 if so few questions can show none.

    Raises:
        InvalidValueError: a share, a power or a number out of its range.
    """
    if not (0.0 <= change_share <= 1.0 and 0.0 < power < 1.0):
        raise InvalidValueError(
            f"a change of {change_share:g} with power {power:g}; both are shares of 1"
        )
    if num_questions < 0 or num_compared < 1:
        raise InvalidValueError(
            f"{num_questions} questions and {num_compared} paths; there is at least one path"
        )
    level = SIGNIFICANCE / num_compared

    def excess(gain: float) -> float:
        return _power(gain, max(change_share, gain), num_questions, level) - power

    if num_questions == 0 or excess(1.0) < 0.0:
        return 1.0
    return float(brentq(excess, 0.0, 1.0, xtol=1e-5))


def _power(gain: float, change_share: float, num_questions: int, level: float) -> float:
    """How likely the exact two-sided test at that level finds the gain."""
    if change_share == 0.0:
        return 0.0
    least, most = binom.ppf([UNLIKELY, 1.0 - UNLIKELY], num_questions, change_share)
    num_changed = np.arange(int(least), int(most) + 1)
    # The fewest fixed answers whose two-sided p is at most the level: P(more than k) <= level / 2.
    num_needed = binom.isf(level / 2, num_changed, 0.5) + 1
    is_fixed = (1.0 + gain / change_share) / 2
    likely = binom.pmf(num_changed, num_questions, change_share)
    return float(np.sum(likely * binom.sf(num_needed - 1, num_changed, is_fixed)))
