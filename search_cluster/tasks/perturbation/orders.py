"""Other orders of an example's choices, in which the right one has another letter."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from search_cluster.tasks.example import Example
from search_cluster.tasks.perturbation.distractors import depends_on_neighbours
from search_cluster.tasks.selection import derive_seed
from search_cluster.tasks.template import LETTERS

Order = tuple[int, ...]
"""The indices of the old choices in their new order."""


def reordered(
    example: Example, *, gold_is_text: bool, part: int, num_parts: int, seed: int
) -> Iterator[Example]:
    """The example with its choices in other orders; the gold letter and index follow.

    The right choice takes every other place, and the wrong ones are rotated and mirrored; of up to
    4 choices these are all orders in which the right one moves. Orders are dealt to ``num_parts``
    disjoint parts, each with all places as far as there are enough. Those of one part come in an
    order drawn from the seed, in every place once before any place comes twice.

    Args:
        example: the original. Nothing comes if it has no choices, or if a choice speaks of its
            neighbours ("all of the above").
        gold_is_text: whether the gold answer is the right choice's text, not its letter.
        part: the number of the part, from 0.
        num_parts: the number of parts.
        seed: any integer.
    """
    gold_index = example.gold_index
    if gold_index is None or any(map(depends_on_neighbours, example.choices)):
        return
    if example.gold != (example.choices[gold_index] if gold_is_text else LETTERS[gold_index]):
        return
    orders = [
        order
        for number, order in _numbered_orders(len(example.choices), gold_index)
        if number % num_parts == part
    ]
    orders.sort(key=lambda order: derive_seed(seed, f"{example.example_id} order {order}"))
    for order in _places_in_turn(orders, gold_index):
        place = order.index(gold_index)
        yield replace(
            example,
            choices=tuple(example.choices[index] for index in order),
            gold=example.gold if gold_is_text else LETTERS[place],
            gold_index=place,
        )


def _numbered_orders(num_choices: int, gold_index: int) -> Iterator[tuple[int, Order]]:
    """All orders that are used, each with a number.

    The numbers spread over the places of the right choice and over the orders of the wrong ones.
    """
    wrong = tuple(index for index in range(num_choices) if index != gold_index)
    turns = range(len(wrong))
    arrangements = dict.fromkeys(
        chain(
            (wrong[turn:] + wrong[:turn] for turn in turns),
            (wrong[turn::-1] + wrong[:turn:-1] for turn in turns),
        )
    )
    for row, place in enumerate(wrong):
        for column, arranged in enumerate(arrangements):
            yield row + column, (*arranged[:place], gold_index, *arranged[place:])


def _places_in_turn(orders: list[Order], gold_index: int) -> list[Order]:
    """The orders, stably sorted by the turn of their place.

    Each place of the right choice comes once before any comes twice.
    """
    uses: Counter[int] = Counter()
    rounds: dict[Order, int] = {}
    for order in orders:
        place = order.index(gold_index)
        rounds[order] = uses[place]
        uses[place] += 1
    return sorted(orders, key=lambda order: rounds[order])
