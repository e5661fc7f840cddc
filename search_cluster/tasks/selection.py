"""Which examples of a split are used: a seeded sample that grows only with the limit."""

import hashlib
from collections.abc import Sequence

from search_cluster.errors import InvalidValueError
from search_cluster.tasks.example import Example


def derive_seed(seed: int, example_id: str) -> int:
    """A 64-bit seed for one example: the first 8 bytes of sha256("seed:example id")."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{example_id}".encode()).digest()[:8], "big")


def select_examples(
    examples: Sequence[Example], limit: int | None, seed: int
) -> tuple[Example, ...]:
    """The first ``limit`` examples in the order of their seeded content hashes.

    The order depends on nothing but the seed and each example's content, so a larger limit only
    adds examples, and the order of rows in a file does not matter.

    Args:
        examples: distinct examples.
        limit: the largest number of examples; ``None`` takes all.
        seed: any integer.

    Raises:
        InvalidValueError: the limit is below 1.
    """
    if limit is not None and limit < 1:
        raise InvalidValueError(
            f"limit is {limit}; ask for at least 1 example, or leave the limit out for all"
        )
    ordered = sorted(
        examples, key=lambda example: (derive_seed(seed, example.example_id), example.example_id)
    )
    return tuple(ordered[:limit])
