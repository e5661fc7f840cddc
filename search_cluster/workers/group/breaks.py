"""Which places are given up, since their devices failed again and again."""

import time
from collections import defaultdict

MAX_BREAKS = 3
"""How often devices of one place may fail of themselves before it is given up, ..."""
BREAKS_WITHIN_S = 3600.0
"""... within so long: a card that fails once a day is worth its restarts."""


class BreakCount:
    """Counts failures of devices by place: a node of a cluster, or a device of this machine."""

    def __init__(self) -> None:
        self._given_up = frozenset[str]()
        self._breaks = defaultdict[str, list[float]](list)
        """When devices failed, by place."""

    @property
    def given_up(self) -> frozenset[str]:
        """Places whose devices failed too often."""
        return self._given_up

    def count(self, place: str) -> int | None:
        """Note that a device of a place failed, and that no request is to blame.

        Returns:
            How often that was of late if the place is given up for it, just now; else ``None``.
        """
        if not place:
            return None
        now_s = time.monotonic()
        recent = [at_s for at_s in self._breaks[place] if now_s - at_s < BREAKS_WITHIN_S]
        self._breaks[place] = [*recent, now_s]
        if len(recent) + 1 < MAX_BREAKS or place in self._given_up:
            return None
        self._given_up |= {place}
        return len(recent) + 1
