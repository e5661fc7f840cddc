"""How the rows of a call are cut and filled up to numbers that are allowed."""

from functools import cache
from math import gcd

import torch

CALL_COST_ROWS = 32
"""What one more call costs on a CPU, in rows."""
ACCELERATOR_CALL_COST_ROWS = 256
"""The same elsewhere: a few microseconds each for the products of a layer and for joining them."""


def call_cost_rows(device: torch.device) -> int:
    """What one more call costs on a device, in rows."""
    return CALL_COST_ROWS if device.type == "cpu" else ACCELERATOR_CALL_COST_ROWS


@cache
def cover(num_rows: int, counts: tuple[int, ...], call_cost: int) -> tuple[int, ...]:
    """The cheapest numbers of rows whose sum is at least ``num_rows``.

    Only the last one may reach beyond.

    Args:
        num_rows: the number of rows.
        counts: the numbers to choose from, in rising order.
        call_cost: what each of them costs beside its rows, in rows.
    """
    # Of many rows the largest number takes all but one or two times itself.
    bulk = max(0, num_rows // counts[-1] - 1)
    rest = num_rows - bulk * counts[-1]
    return (counts[-1],) * bulk + _covers(counts, call_cost)[-(-rest // gcd(*counts))]


def filled_up(num_rows: int, counts: tuple[int, ...], call_cost: int) -> int:
    """The number of rows of a call with those that fill it up; it is filled if there are numbers.

    Args:
        num_rows: the number of rows that the call needs.
        counts: as `cover` takes them, or none.
        call_cost: as `cover` takes it.
    """
    return sum(cover(num_rows, counts, call_cost)) if counts else num_rows


@cache
def _covers(counts: tuple[int, ...], call_cost: int) -> list[tuple[int, ...]]:
    """What `cover` says of 0, 1, 2 ... times the greatest common divisor of the numbers.

    The list reaches to twice the largest number. Each cover is one number in front of the cover of
    what it leaves; the larger one comes first where two cost the same.
    """
    unit = gcd(*counts)
    covers: list[tuple[int, ...]] = [()]
    costs = [0]
    for place in range(1, 2 * counts[-1] // unit + 1):
        cost, minus_count = min(
            (count + call_cost + costs[max(0, place - count // unit)], -count) for count in counts
        )
        costs.append(cost)
        covers.append((-minus_count, *covers[max(0, place + minus_count // unit)]))
    return covers


def cost_rows(counts: tuple[int, ...], call_cost: int) -> int:
    """What calls of these numbers of rows cost, in rows."""
    return sum(counts) + call_cost * len(counts)
