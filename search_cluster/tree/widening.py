"""Progressive widening: how many children a node may have."""

from dataclasses import dataclass
from math import ceil, pow
from typing import Protocol


class Widening(Protocol):
    """When a node may take another child. It is pure."""

    def max_children(self, num_visits: int) -> int:
        """The number of children that a node may have after ``num_visits`` visits; at least 1.

        Pending visits count.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerWidening:
    """``max(1, ceil(scale * v^exponent))`` children after v visits (PoLar, arXiv 2606.06574)."""

    scale: float
    exponent: float

    def max_children(self, num_visits: int) -> int:
        """See `Widening`."""
        return max(1, ceil(self.scale * pow(num_visits, self.exponent)))
