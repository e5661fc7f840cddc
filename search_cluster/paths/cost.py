"""What paths of a model cost: their layers, and the bridges that they cross."""

from dataclasses import dataclass

from search_cluster.paths.jumps import Jump, steps_of
from search_cluster.paths.layer_path import LayerPath

DIGITS = 6
"""Digits behind the point of a number of layers that is no whole one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathCosts:
    """What paths of one model cost, in layers of one row. Without bridges: their layers."""

    bridged: frozenset[Jump] = frozenset()
    """The jumps that have a bridge."""
    share: float = 0.0
    """What crossing one of them costs, in layers."""

    def crossing(self, path: LayerPath) -> float:
        """What the bridges of a path cost."""
        num_crossed = sum(step in self.bridged for step in steps_of(path))
        return round(self.share * num_crossed, DIGITS)

    def layers(self, path: LayerPath) -> int | float:
        """What a path costs with all that it crosses; a whole number where it crosses nothing."""
        return with_crossing(path, self.crossing(path))


def with_crossing(path: LayerPath, crossing: float) -> int | float:
    """A path's layers and what its bridges cost; a whole number where they cost nothing."""
    return len(path) + crossing if crossing else len(path)


BARE = PathCosts()
"""Those of a model without bridges."""
