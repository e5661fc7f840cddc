"""A deck of numbers that is drawn card by card: what a node has not tried yet."""

import random


class Deck:
    """The numbers ``0 .. size - 1``, each drawn once, in an order that the generator decides draw by draw.

    Fisher and Yates' shuffle, done lazily: only cards that moved are stored, so a deck of hundreds of which a few are
    drawn costs a few entries.
    """

    __slots__ = ("_moved", "num_left")

    def __init__(self, size: int) -> None:
        self.num_left = size
        self._moved: dict[int, int] = {}
        """The card at a place, where it is not the place's own number."""

    def draw(self, rng: random.Random) -> int:
        """Take one of the cards that are left, all equally likely. The deck must not be empty."""
        # `random()` is the one method whose sequence Python promises to keep from version to version.
        at = int(rng.random() * self.num_left)
        self.num_left = last = self.num_left - 1
        moved = self._moved
        card = moved.get(at, at)
        last_card = moved.pop(last, last)
        if at != last:
            moved[at] = last_card
        return card
