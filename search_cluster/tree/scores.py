"""Which child to descend into: UCB with a length penalty, and what counts as the total of visits.

Each score is a function of counts alone, so that its visit counts can be computed by hand.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import log, sqrt
from typing import Protocol


class VisitTotal(StrEnum):
    """What V means in the UCB term; the papers differ."""

    PARENT = "parent"
    """The visits of the parent node (Dr.LLM, arXiv 2510.12773, section 4)."""
    ALL = "all"
    """All simulations so far (CoLa, arXiv 2507.07996, section 3)."""


class Score(Protocol):
    """How much a descent wants a child. It is pure."""

    def value(
        self, total_reward: float, num_visits: int, visit_total: int, length_ratio: float
    ) -> float:
        """The child's score; the largest wins.

        Args:
            total_reward: Q(P), the sum of rewards.
            num_visits: v(P) >= 1, pending ones included.
            visit_total: V >= 1.
            length_ratio: |P| / L.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UcbScore:
    """The score UCB(P) = Q(P)/v(P) + c sqrt(ln V / v(P)) - lambda |P|/L.

    See CoLa, section 3, and Dr.LLM, section 4.
    """

    exploration: float
    """The weight c of exploration."""
    length_penalty: float
    """The weight lambda of length, in units of reward per model depth."""

    def value(
        self, total_reward: float, num_visits: int, visit_total: int, length_ratio: float
    ) -> float:
        """See `Score`."""
        exploitation = total_reward / num_visits
        bonus = self.exploration * sqrt(log(visit_total) / num_visits)
        return exploitation + bonus - self.length_penalty * length_ratio
