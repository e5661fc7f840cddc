"""Scores and intervals of paired differences of shares, for many paths at a time.

Shapes: P paths. Everything takes, per path, the questions that it alone answers right (fixed),
those that the plain model alone does (broken), and all of them.
"""

import numpy as np

from search_cluster.scan.statistics.design import Floats

BISECTIONS = 50
"""Halvings of an interval of length 2 at most; what is left is below the noise of a double."""


def mcnemar_score(fixed_P: Floats, broken_P: Floats) -> Floats:
    """McNemar's signed z for no difference; 0 where no answer changed."""
    return (fixed_P - broken_P) / np.sqrt(np.maximum(1.0, fixed_P + broken_P))


def adjusted_score(fixed_P: Floats, broken_P: Floats, n_P: Floats) -> Floats:
    """How many of its standard errors the adjusted interval's middle is away from 0."""
    difference_P = (fixed_P - broken_P) / (n_P + 2)
    share_P = (fixed_P + broken_P + 2) / (n_P + 2)
    return difference_P / np.sqrt((share_P - difference_P**2) / (n_P + 2))


def tango_interval(
    fixed_P: Floats, broken_P: Floats, n_P: Floats, bound_P: Floats | float
) -> tuple[Floats, Floats]:
    """The score interval of Tango (1998): all differences whose score stays within the bound."""
    seen_P = (fixed_P - broken_P) / n_P

    def end(outer_P: Floats) -> Floats:
        inside_P, outside_P = seen_P.copy(), outer_P
        for _ in range(BISECTIONS):
            middle_P = (inside_P + outside_P) / 2
            is_inside_P = np.abs(_tango_score(fixed_P, broken_P, n_P, middle_P)) <= bound_P
            inside_P = np.where(is_inside_P, middle_P, inside_P)
            outside_P = np.where(is_inside_P, outside_P, middle_P)
        return outside_P

    return end(np.full_like(seen_P, -1.0)), end(np.full_like(seen_P, 1.0))


def _tango_score(fixed_P: Floats, broken_P: Floats, n_P: Floats, difference_P: Floats) -> Floats:
    """The z of a true difference, whose nuisance share is its likeliest value (Tango's eq. 5)."""
    a_P = 2 * n_P
    b_P = (2 * n_P - fixed_P + broken_P) * difference_P - fixed_P - broken_P
    c_P = -broken_P * difference_P * (1 - difference_P)
    share_P = (np.sqrt(np.maximum(0.0, b_P**2 - 4 * a_P * c_P)) - b_P) / (2 * a_P)
    variance_P = n_P * (2 * share_P + difference_P * (1 - difference_P))
    distance_P = fixed_P - broken_P - n_P * difference_P
    return distance_P / np.sqrt(np.maximum(1e-12, variance_P))
