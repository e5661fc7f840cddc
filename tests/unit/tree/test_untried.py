import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from search_cluster.tree.untried import Untried


@given(st.lists(st.integers(0, 30), max_size=3), st.integers(0, 1000))
def test_every_number_is_drawn_once(sizes: list[int], seed: int) -> None:
    untried, rng = Untried(sizes), random.Random(seed)
    drawn = []
    while untried.num_left:
        drawn.append(untried.draw(rng))
        assert untried.num_left == sum(sizes) - len(drawn)
    assert sorted(drawn) == list(range(sum(sizes)))


def test_all_orders_of_a_group_are_equally_likely() -> None:
    orders: Counter[tuple[int, ...]] = Counter()
    rng = random.Random(0)
    for _ in range(6000):
        untried = Untried([3])
        orders[tuple(untried.draw(rng) for _ in range(3))] += 1
    # Six orders, 1000 expected each; 5 standard deviations are 144.
    assert len(orders) == 6
    assert all(abs(count - 1000) < 144 for count in orders.values())


def test_groups_are_equally_likely_whatever_their_sizes() -> None:
    rng = random.Random(0)
    groups = Counter(
        sum(number >= limit for limit in (1, 10))
        for number in (Untried([1, 9, 90]).draw(rng) for _ in range(6000))
    )
    # 2000 expected each; 5 standard deviations are 183.
    assert len(groups) == 3
    assert all(abs(count - 2000) < 183 for count in groups.values())
