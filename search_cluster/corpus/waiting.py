"""What waits for others to make a shard, and when it has waited enough."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

EXAMPLES_PER_SHARD = 64
MAX_SHARD_AGE_S = 30.0
"""How long a finished example waits for others; a process that is killed loses no more of them."""

Item = TypeVar("Item")


class WaitingForShard(Generic[Item]):
    """Items of distinct examples, in the order in which they came.

    Args:
        examples_per_shard: so many are enough for a shard.
        max_age_s: so old is old enough, however few there are.
        clock: gives seconds that only grow.
    """

    def __init__(
        self,
        examples_per_shard: int = EXAMPLES_PER_SHARD,
        max_age_s: float = MAX_SHARD_AGE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._examples_per_shard = examples_per_shard
        self._max_age_s = max_age_s
        self._clock = clock
        self._items: dict[str, Item] = {}
        self._oldest_s = 0.0

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, example_id: str) -> bool:
        return example_id in self._items

    def add(self, example_id: str, item: Item) -> None:
        """Let an item wait."""
        if not self._items:
            self._oldest_s = self._clock()
        self._items[example_id] = item

    @property
    def is_due(self) -> bool:
        """Whether enough wait, or the oldest one has waited for long enough."""
        return bool(self._items) and (
            len(self._items) >= self._examples_per_shard
            or self._clock() - self._oldest_s >= self._max_age_s
        )

    def take(self) -> list[Item]:
        """All that wait; none wait then."""
        taken = list(self._items.values())
        self._items.clear()
        return taken
