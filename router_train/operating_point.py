"""Where a router is run: the threshold that meets an accuracy floor and a layer budget on validation data. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from router_train.config import AIM_ACCURACY, FitConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """What a threshold, or one path for all, comes to on validation questions."""

    threshold: float
    """Of the confidence below which a router falls back to identity; any number where there is no choice."""
    accuracy: float
    accuracy_plain: float
    mean_layers: float

    def metrics(self, prefix: str = "validation") -> dict[str, float]:
        """As a checkpoint keeps it."""
        return {
            f"{prefix}_accuracy_routed": self.accuracy,
            f"{prefix}_accuracy_plain": self.accuracy_plain,
            f"{prefix}_mean_layers": self.mean_layers,
        }


def choose_point(points: Sequence[OperatingPoint], num_layers: int, config: FitConfig) -> int | None:
    """The place of the best point within floor and budget; ``None`` if there is none, so that identity is left.

    ``aim`` "layers": the fewest layers, then the highest accuracy; "accuracy": the other way round. Among equals of
    both, the higher threshold, which changes less.
    """
    floor = -config.max_drop / 100 - 1e-9
    budget = config.max_layers_share * num_layers + 1e-9
    allowed = [
        place
        for place, point in enumerate(points)
        if point.accuracy - point.accuracy_plain >= floor and point.mean_layers <= budget
    ]

    def rank(place: int) -> tuple[float, float, float]:
        point = points[place]
        # Rounded, so that sums in another order do not break ties.
        cost, loss = round(point.mean_layers, 9), round(-point.accuracy, 9)
        return (loss, cost, -point.threshold) if config.aim == AIM_ACCURACY else (cost, loss, -point.threshold)

    return min(allowed, key=rank, default=None)
