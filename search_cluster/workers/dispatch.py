"""Which request goes to which worker.

An example's requests go to the worker that holds its states, and idle workers take over. Pure:
knows nothing of threads, Ray or models.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

MAX_HOMES = 100_000
"""Examples whose worker is remembered; the least recently used are forgotten."""

T = TypeVar("T")


class Dispatcher(Generic[T]):
    """Queues of items, one per worker; workers join and leave.

    Args:
        example_of: the id of the example that an item belongs to.
        num_running: items that a worker took and has not finished, as far as the caller knows.
    """

    def __init__(
        self, example_of: Callable[[T], str], num_running: Callable[[int], int] = lambda worker: 0
    ) -> None:
        self._queues: dict[int, deque[T]] = {}
        self._num_items = 0
        """In all queues: whoever serves many workers asks for each of them."""
        self._num_running = num_running
        self._homeless: deque[T] = deque()
        """What waits while there is no worker."""
        self._example_of = example_of
        self._homes: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return self._num_items

    def num_waiting(self, worker: int) -> int:
        """Items in a worker's queue."""
        return len(self._queues[worker])

    def join(self, worker: int) -> None:
        """Give a worker a queue; it takes work over when it first asks for some."""
        self._queues[worker] = deque()
        homeless, self._homeless = self._homeless, deque()
        self._num_items -= len(homeless)
        self.add(homeless)

    def leave(self, worker: int) -> None:
        """Take a worker's queue away; what waits in it moves to the others."""
        left = self._queues.pop(worker)
        self._num_items -= len(left)
        self.add_first(left)

    def add(self, items: Iterable[T]) -> None:
        """Queue items at their examples' homes.

        A new example makes its home at the worker with the least to do.
        """
        for item in items:
            self._queue_of(item).append(item)
            self._num_items += 1

    def add_first(self, items: Iterable[T]) -> None:
        """Queue items before all that wait at their homes, in their order."""
        for item in reversed(list(items)):
            self._queue_of(item).appendleft(item)
            self._num_items += 1

    def next_batch(self, worker: int, size: int, *, take_over: bool = True) -> list[T]:
        """At most ``size`` items for a worker: its own, or others' if it has none.

        It takes over half of the longest queue, whose examples move in.

        Args:
            worker: who asks.
            size: items at most.
            take_over: whether others' items will do, whose states the worker has to compute again.
        """
        queue = self._queues[worker]
        if not queue and take_over and self._num_items:
            self._take_over(worker)
        batch = [queue.popleft() for _ in range(min(size, len(queue)))]
        self._num_items -= len(batch)
        return batch

    def _queue_of(self, item: T) -> deque[T]:
        if not self._queues:
            return self._homeless
        example = self._example_of(item)
        home = self._homes.get(example)
        if home is None or home not in self._queues:
            home = min(
                self._queues,
                key=lambda worker: len(self._queues[worker]) + self._num_running(worker),
            )
        self._settle(example, home)
        return self._queues[home]

    def _settle(self, example: str, worker: int) -> None:
        self._homes[example] = worker
        self._homes.move_to_end(example)
        if len(self._homes) > MAX_HOMES:
            self._homes.popitem(last=False)

    def _take_over(self, worker: int) -> None:
        """Move the younger half of the longest queue, whole examples at a time."""
        longest = max(self._queues.values(), key=len)
        if not longest:
            return
        examples = list(dict.fromkeys(self._example_of(item) for item in longest))
        moving = set(examples[len(examples) // 2 :])
        taken = [item for item in longest if self._example_of(item) in moving]
        staying = [item for item in longest if self._example_of(item) not in moving]
        longest.clear()
        longest.extend(staying)
        self._queues[worker].extend(taken)
        for example in moving:
            self._settle(example, worker)
