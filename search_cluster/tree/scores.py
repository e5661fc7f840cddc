"""Which child to descend into: UCB with a length penalty, and what counts as the total of visits.

Each score is a function of counts alone, so that its visit counts can be computed by hand.
"""

import math
from enum import StrEnum


class VisitTotal(StrEnum):
    """What V means in the UCB term; the papers differ."""

    PARENT = "parent"
    """Visits of the parent node (Dr.LLM, arXiv 2510.12773, section 4)."""
    ALL = "all"
    """All simulations so far (CoLa, arXiv 2507.07996, section 3)."""


def ucb_score(
    *,
    total_reward: float,
    num_visits: int,
    visit_total: int,
    length_ratio: float,
    exploration: float,
    length_penalty: float,
) -> float:
    """UCB(P) = Q(P)/v(P) + c sqrt(ln V / v(P)) - lambda |P|/L (CoLa, section 3; Dr.LLM, section 4).

    Args:
        total_reward: Q(P), sum of rewards.
        num_visits: v(P) >= 1, pending ones included.
        visit_total: V >= 1.
        length_ratio: |P| / L.
        exploration: c.
        length_penalty: lambda.
    """
    exploitation = total_reward / num_visits
    bonus = exploration * math.sqrt(math.log(visit_total) / num_visits)
    return exploitation + bonus - length_penalty * length_ratio


def max_children(num_visits: int, *, scale: float, exponent: float) -> int:
    """Progressive widening: a node with v visits may have ``max(1, ceil(scale * v^exponent))`` children (PoLar)."""
    return max(1, math.ceil(scale * math.pow(num_visits, exponent)))
