"""Numbers that are drawn one by one, as cards of a deck: what a node has not tried yet."""

import random
from collections.abc import Sequence


class Untried:
    """The numbers from 0 on, each drawn once, in an order that the generator decides draw by draw.

    Each draw picks a suit, all that have cards left equally likely, and then one of its cards, all equally likely.
    Within a suit it is Fisher and Yates' shuffle, done lazily: only cards that moved are stored, so a deck of hundreds
    of which a few are drawn costs a few entries.

    Args:
        sizes: how many cards each suit has. The first suit holds the smallest numbers, and so on.
    """

    __slots__ = ("_suits", "num_left")

    def __init__(self, sizes: Sequence[int]) -> None:
        self.num_left = sum(sizes)
        self._suits: list[_Suit] = []
        first = 0
        for size in sizes:
            if size:
                self._suits.append(_Suit(first, size))
            first += size

    def draw(self, rng: random.Random) -> int:
        """Takes a card. ``num_left`` must not be 0."""
        # `random()` is the one method whose sequence Python promises to keep from version to version.
        suits = self._suits
        suit = suits[0] if len(suits) == 1 else suits[int(rng.random() * len(suits))]
        at = int(rng.random() * suit.num_left)
        self.num_left -= 1
        suit.num_left = last = suit.num_left - 1
        moved = suit.moved
        card = moved.get(at, at)
        last_card = moved.pop(last, last)
        if at != last:
            moved[at] = last_card
        if not last:
            suits.remove(suit)
        return suit.first + card


class _Suit:
    """Cards ``first`` and following; places are counted from 0."""

    __slots__ = ("first", "moved", "num_left")

    def __init__(self, first: int, num_left: int) -> None:
        self.first = first
        self.num_left = num_left
        self.moved: dict[int, int] = {}
        """The card at a place, where it is not the place's own number."""
