"""Which request goes to which worker: an example's requests to the one that holds its states, idle workers take over.

Pure: knows nothing of threads, Ray or models.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

MAX_HOMES = 100_000
"""Examples whose worker is remembered; the least recently used are forgotten."""

T = TypeVar("T")


class Dispatcher(Generic[T]):
    """Queues of items, one per worker.

    Args:
        num_workers: workers are numbered from 0.
        batch_size: items handed out together at most.
        example_of: the id of the example that an item belongs to.
    """

    def __init__(self, num_workers: int, batch_size: int, example_of: Callable[[T], str]) -> None:
        self._queues: list[deque[T]] = [deque() for _ in range(num_workers)]
        self._batch_size = batch_size
        self._example_of = example_of
        self._homes: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._queues))

    def add(self, items: Iterable[T]) -> None:
        """Queue items at their examples' homes; a new example makes its home where the queue is shortest."""
        for item in items:
            self._queues[self._home_of(item)].append(item)

    def add_first(self, items: Iterable[T]) -> None:
        """Queue items before all that wait at their homes, in their order."""
        for item in reversed(list(items)):
            self._queues[self._home_of(item)].appendleft(item)

    def next_batch(self, worker: int) -> list[T]:
        """Items for a worker: its own, else half of the longest queue, whose examples move in with it."""
        queue = self._queues[worker]
        if not queue:
            self._take_over(worker)
        return [queue.popleft() for _ in range(min(self._batch_size, len(queue)))]

    def _home_of(self, item: T) -> int:
        example = self._example_of(item)
        home = self._homes.get(example)
        if home is None:
            home = min(range(len(self._queues)), key=lambda worker: len(self._queues[worker]))
        self._settle(example, home)
        return home

    def _settle(self, example: str, worker: int) -> None:
        self._homes[example] = worker
        self._homes.move_to_end(example)
        if len(self._homes) > MAX_HOMES:
            self._homes.popitem(last=False)

    def _take_over(self, worker: int) -> None:
        """Move the younger half of the longest queue, whole examples at a time."""
        longest = max(self._queues, key=len)
        examples = list(dict.fromkeys(self._example_of(item) for item in longest))
        moving = set(examples[len(examples) // 2 :])
        taken = [item for item in longest if self._example_of(item) in moving]
        staying = [item for item in longest if self._example_of(item) not in moving]
        longest.clear()
        longest.extend(staying)
        self._queues[worker].extend(taken)
        for example in moving:
            self._settle(example, worker)
