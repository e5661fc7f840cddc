import random

import pytest

from search_cluster.errors import InvalidValueError
from search_cluster.tasks.example import Example
from search_cluster.tasks.selection import select_examples

EXAMPLES = [
    Example(task="t", question=str(i), gold="g", split="train", source=f"f:{i}") for i in range(50)
]


def test_a_larger_limit_only_adds_examples() -> None:
    assert select_examples(EXAMPLES, 20, 0)[:10] == select_examples(EXAMPLES, 10, 0)


def test_the_order_of_rows_does_not_matter() -> None:
    shuffled = random.Random(1).sample(EXAMPLES, len(EXAMPLES))
    assert select_examples(shuffled, 20, 0) == select_examples(EXAMPLES, 20, 0)


def test_another_seed_draws_another_sample() -> None:
    assert select_examples(EXAMPLES, 20, 0) != select_examples(EXAMPLES, 20, 1)


def test_no_limit_means_all() -> None:
    assert len(select_examples(EXAMPLES, None, 0)) == 50


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="limit is 0"):
        select_examples(EXAMPLES, 0, 0)


def test_identity_of_an_example_is_its_content() -> None:
    here = Example(task="t", question="q", gold="g", split="train", source="a:1")
    there = Example(task="t", question="q", gold="g", split="test", source="b:9")
    other = Example(task="t", question="q", gold="h", split="train", source="a:1")
    assert here.example_id == there.example_id
    assert here.example_id != other.example_id
