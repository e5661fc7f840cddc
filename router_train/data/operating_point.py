"""Where a router is run: the threshold that meets accuracy floor and layer budget. Pure.

Floor and budget hold on validation data.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router_train.config import AIM_ACCURACY, FitConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """What a threshold, or one path for all, comes to on validation questions."""

    threshold: float
    """The confidence below which a router falls back to identity; any number where there is no
    choice."""
    accuracy: float
    accuracy_plain: float
    standard_error: float
    """The standard error of the difference between the two accuracies."""
    mean_layers: float
    num_questions: int = 0
    """The number of questions behind the other figures."""

    @classmethod
    def of(
        cls,
        right_N: NDArray[np.bool_],
        plain_right_N: NDArray[np.bool_],
        lengths_N: NDArray[np.int64],
        threshold: float,
    ) -> "OperatingPoint":
        """The point that N >= 1 questions give, each answered by both models."""
        difference_N = right_N.astype(np.float64) - plain_right_N
        return cls(
            threshold=threshold,
            accuracy=float(right_N.mean()),
            accuracy_plain=float(plain_right_N.mean()),
            standard_error=float(difference_N.std() / len(difference_N) ** 0.5),
            mean_layers=float(lengths_N.mean()),
            num_questions=len(difference_N),
        )

    def metrics(self, prefix: str = "validation") -> dict[str, float]:
        """The numbers as a checkpoint keeps them.

        They come from the questions on which the point was chosen, so they flatter it: whoever
        shows them calls them in-sample (`router_train.routers.base.Fitted.judged_on`).
        """
        return {
            f"{prefix}_accuracy_routed": self.accuracy,
            f"{prefix}_accuracy_plain": self.accuracy_plain,
            f"{prefix}_standard_error": self.standard_error,
            f"{prefix}_mean_layers": self.mean_layers,
            f"{prefix}_num_questions": float(self.num_questions),
        }


def choose_point(
    points: Sequence[OperatingPoint], num_layers: int, config: FitConfig
) -> int | None:
    """The place of the best point within floor and budget.

    It is ``None`` if there is none, so that identity is left.

    The floor is for the difference less ``config.floor_errors`` standard errors: the best of many
    noisy points looks better than it is, and few questions prove little.

    ``aim`` "layers": the fewest layers, then the highest accuracy; "accuracy": the other way round.
    Among equals of both, the higher threshold, which changes less.
    """
    floor = -config.max_drop / 100 - 1e-9
    budget = config.max_layers_share * num_layers + 1e-9
    allowed = [
        place
        for place, point in enumerate(points)
        if point.accuracy - point.accuracy_plain - config.floor_errors * point.standard_error
        >= floor
        and point.mean_layers <= budget
    ]

    def rank(place: int) -> tuple[float, float, float]:
        point = points[place]
        # Rounded, so that sums in another order do not break ties.
        cost, loss = round(point.mean_layers, 9), round(-point.accuracy, 9)
        return (
            (loss, cost, -point.threshold)
            if config.aim == AIM_ACCURACY
            else (cost, loss, -point.threshold)
        )

    return min(allowed, key=rank, default=None)
