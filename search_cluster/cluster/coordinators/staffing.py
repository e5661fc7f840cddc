"""How many coordinators a run has: more where some are full while their workers wait.

Pure. The number only grows, and a coordinator is judged by what it did since its workers last
changed, so no two numbers take turns.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

WINDOW_S = 20.0
"""How long a coordinator is watched before it is judged: many batches of each worker."""
FULL_SHARE = 0.8
"""The share of a core from which on a coordinator is full: it has one thread that counts."""
IDLE_SHARE = 0.1
"""The share of their time that the workers of a full coordinator wait when it needs company."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorLoad:
    """What a coordinator and its workers did since it was started."""

    alive_s: float
    """Seconds since then."""
    cpu_s: float
    """Seconds of processor time that it took."""
    num_workers: int
    """Workers that it has now."""
    held_s: float
    """Seconds for which its workers were held, summed over them."""
    busy_s: float
    """The part of these in which they computed."""

    def is_full_since(self, before: "CoordinatorLoad") -> bool:
        """Whether it was full while its workers waited."""
        cpu_share = (self.cpu_s - before.cpu_s) / (self.alive_s - before.alive_s)
        held_s = self.held_s - before.held_s
        busy_share = (self.busy_s - before.busy_s) / held_s if held_s else 1.0
        return cpu_share >= FULL_SHARE and busy_share <= 1.0 - IDLE_SHARE


class Staffing:
    """Watches the load of coordinators, and says which of them need company."""

    def __init__(self) -> None:
        self._before: dict[int, CoordinatorLoad] = {}
        """The load of each coordinator when its window began."""

    def look(self, loads: Mapping[int, CoordinatorLoad]) -> list[int]:
        """The coordinators that were full for a whole window; they are watched anew then.

        Args:
            loads: by the coordinators' numbers, as they last told them.
        """
        full = []
        for number, load in loads.items():
            before = self._before.setdefault(number, load)
            if before.num_workers != load.num_workers:
                self._before[number] = load
            elif load.alive_s - before.alive_s >= WINDOW_S:
                self._before[number] = load
                if load.num_workers > 1 and load.is_full_since(before):
                    full.append(number)
        return full


def fair_share(nums_workers: Collection[int], num_moving: int) -> int:
    """How many workers a coordinator has at most when all have about as many.

    Args:
        nums_workers: what each has now.
        num_moving: workers that are on their way from one to another.
    """
    return math.ceil((sum(nums_workers) + num_moving) / len(nums_workers))
