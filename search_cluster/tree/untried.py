"""Numbers that are drawn one by one: what a node has not tried yet."""

import random
from collections.abc import Sequence


class Untried:
    """The numbers from 0 on, each drawn once, in an order that the generator decides draw by draw.

    Each draw picks a group, all that have numbers left equally likely, and then one of its numbers,
    all equally likely. Within a group it is Fisher and Yates' shuffle, done lazily: only numbers
    that moved are stored, so a group of hundreds of which a few are drawn costs a few entries.

    Args:
        sizes: how many numbers each group has. The first group holds the smallest numbers, and so
            on.
    """

    __slots__ = ("_groups", "num_left")

    def __init__(self, sizes: Sequence[int]) -> None:
        self.num_left = sum(sizes)
        self._groups: list[_MoveGroup] = []
        first = 0
        for size in sizes:
            if size:
                self._groups.append(_MoveGroup(first, size))
            first += size

    def draw(self, rng: random.Random) -> int:
        """Takes a number; ``num_left`` must not be 0."""
        # `random()` is the one method whose sequence Python promises to keep from version to
        # version.
        groups = self._groups
        group = groups[0] if len(groups) == 1 else groups[int(rng.random() * len(groups))]
        at = int(rng.random() * group.num_left)
        self.num_left -= 1
        group.num_left = last = group.num_left - 1
        moved = group.moved
        number = moved.get(at, at)
        last_number = moved.pop(last, last)
        if at != last:
            moved[at] = last_number
        if not last:
            groups.remove(group)
        return group.first + number


class _MoveGroup:
    """Numbers ``first`` and following; places are counted from 0."""

    __slots__ = ("first", "moved", "num_left")

    def __init__(self, first: int, num_left: int) -> None:
        self.first = first
        self.num_left = num_left
        self.moved: dict[int, int] = {}
        """The number at a place, where it is not the place's own."""
