"""Which coordinator searches which example, and what becomes of those whose holder died.

Pure. Examples are handed out in small portions, on demand. One that was in hand when its
coordinator died is handed out again. If that happens to it twice, it may be the cause, so it goes
alone from then on: it takes no other with it, and is given up if two coordinators die of it alone.
(One that dies may have been killed from outside, as machines that come and go do.)
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from search_cluster.tasks.example import Example

MAX_LOSSES = 4
"""Coordinators that may die of one example."""
ALONE_AFTER = MAX_LOSSES - 2
"""Losses after which an example is suspected, and goes alone."""


@dataclass(slots=True, eq=False)
class _Lease:
    example: Example
    num_losses: int = 0


class ExampleLeases:
    """All examples of a run: waiting, in someone's hands, or ended.

    Args:
        examples: in the order in which they are handed out.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        self._waiting = deque(_Lease(example) for example in examples)
        self._suspects = deque[_Lease]()
        self._held: dict[int, dict[str, _Lease]] = {}
        self._num_examples = len(self._waiting)
        self._num_ended = 0

    @property
    def num_waiting(self) -> int:
        """Examples in nobody's hands."""
        return len(self._waiting) + len(self._suspects)

    @property
    def num_ended(self) -> int:
        """Examples whose record is there, or that were given up."""
        return self._num_ended

    @property
    def done(self) -> bool:
        """Whether every example has ended."""
        return self._num_ended == self._num_examples

    def num_held(self, holder: int) -> int:
        """Examples in a coordinator's hands."""
        return len(self._held.get(holder, {}))

    def has_company(self, holder: int) -> bool:
        """Whether an example waits that could join those in a coordinator's hands."""
        # A suspect is alone in its holder's hands, and stays so: whatever joined it would die with
        # it.
        first = next(iter(self._held.get(holder, {}).values()), None)
        return bool(self._waiting) and (first is None or first.num_losses < ALONE_AFTER)

    def take(self, holder: int, count: int, share: float) -> list[Example]:
        """Hand out up to ``count`` examples.

        Args:
            holder: who takes them.
            count: how many it could use.
            share: the part of the run's devices that the holder has. It gets half of its share of
                what waits, so that portions shrink towards the end and all end together.
        """
        held = self._held.setdefault(holder, {})
        # Suspects come last: no coordinator is put at risk while there are other examples.
        if self.has_company(holder):
            fair = max(1, round(share * len(self._waiting) / 2))
            leases = [self._waiting.popleft() for _ in range(min(count, fair, len(self._waiting)))]
        elif self._suspects and not held and count > 0:
            leases = [self._suspects.popleft()]
        else:
            leases = []
        held.update((lease.example.example_id, lease) for lease in leases)
        return [lease.example for lease in leases]

    def settle(self, holder: int, example_id: str) -> None:
        """Note that the record of an example is there, which its holder searched."""
        del self._held[holder][example_id]
        self._num_ended += 1

    def give_back(self, holder: int) -> None:
        """Let all that a holder has wait again; it is let go, and did nothing wrong.

        Suspects go alone as before.
        """
        held = self._held.pop(holder, {}).values()
        # In front and in their old order: what was begun is ended first.
        for lease in reversed(held):
            (self._suspects if lease.num_losses >= ALONE_AFTER else self._waiting).appendleft(lease)

    def lose(self, holder: int) -> list[Example]:
        """Let what a holder had that died wait again, but for what is given up.

        Returns:
            Examples that are given up; they have ended.
        """
        given_up = []
        again = []
        for lease in self._held.pop(holder, {}).values():
            lease.num_losses += 1
            if lease.num_losses >= MAX_LOSSES:
                given_up.append(lease.example)
            elif lease.num_losses >= ALONE_AFTER:
                self._suspects.append(lease)
            else:
                again.append(lease)
        self._waiting.extendleft(reversed(again))
        self._num_ended += len(given_up)
        return given_up
