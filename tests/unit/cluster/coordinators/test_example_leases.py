import random

from hypothesis import given
from hypothesis import strategies as st

from search_cluster.cluster.coordinators.example_leases import MAX_LOSSES, ExampleLeases
from search_cluster.tasks.example import Example


def make_examples(count: int) -> list[Example]:
    return [
        Example(task="toy", question=f"q{i}", gold="g", split="train", source="test")
        for i in range(count)
    ]


def ids(examples: list[Example]) -> list[str]:
    return [example.question for example in examples]


def test_portions_shrink_towards_the_end() -> None:
    book = ExampleLeases(make_examples(100))
    portions = []
    while book.num_waiting:
        portions.append(len(book.take(0, 1000, share=0.5)))
    assert portions[0] == 25
    assert portions == sorted(portions, reverse=True)
    assert portions[-1] == 1
    assert sum(portions) == 100


def test_nobody_gets_more_than_he_can_use() -> None:
    book = ExampleLeases(make_examples(100))
    assert ids(book.take(0, 3, share=1.0)) == ["q0", "q1", "q2"]
    assert book.take(0, 0, share=1.0) == []
    assert book.take(0, -2, share=1.0) == []


def test_what_a_dead_holder_had_is_handed_out_again_first() -> None:
    book = ExampleLeases(make_examples(4))
    for example in book.take(0, 2, share=1.0):
        assert example.question in ("q0", "q1")
    book.settle(0, make_examples(1)[0].example_id)
    assert book.lose(0) == []
    assert ids(book.take(1, 1, share=1.0)) == ["q1"]
    assert book.num_ended == 1


def test_what_was_lost_twice_goes_alone_and_last() -> None:
    book = ExampleLeases(make_examples(4))
    for holder in (0, 1):
        assert ids(book.take(holder, 2, share=1.0)) == ["q0", "q1"]
        assert book.lose(holder) == []
    assert ids(book.take(2, 1, share=1.0)) == ["q2"]
    assert ids(book.take(2, 1, share=1.0)) == ["q3"]
    assert book.take(2, 9, share=1.0) == []  # not beside others
    for example in make_examples(4)[2:]:
        book.settle(2, example.example_id)
    assert ids(book.take(2, 9, share=1.0)) == ["q0"]
    assert book.take(2, 9, share=1.0) == []  # and none beside it
    assert book.lose(2) == []  # whatever else may have killed this one
    assert ids(book.take(3, 9, share=1.0)) == ["q1"]
    book.settle(3, make_examples(2)[1].example_id)
    assert ids(book.take(3, 9, share=1.0)) == ["q0"]
    assert ids(book.lose(3)) == ["q0"]
    assert book.done


def test_a_holder_that_is_let_go_is_not_to_blame() -> None:
    book = ExampleLeases(make_examples(2))
    for holder in range(MAX_LOSSES + 2):
        assert ids(book.take(holder, 9, share=2.0)) == ["q0", "q1"]
        book.give_back(holder)
    assert book.num_waiting == 2


def test_nothing_joins_a_suspect_so_that_what_it_found_need_not_wait_for_company() -> None:
    book = ExampleLeases(make_examples(2))
    for holder in (0, 1):
        assert ids(book.take(holder, 1, share=0.1)) == ["q0"]
        assert book.has_company(holder)
        assert book.lose(holder) == []
    assert ids(book.take(2, 9, share=9.0)) == ["q1"]
    assert not book.has_company(2)  # only the suspect waits
    assert ids(book.take(3, 1, share=9.0)) == ["q0"]
    book.give_back(2)
    assert not book.has_company(3)
    assert book.has_company(4)


def test_a_suspect_that_is_given_back_stays_apart_from_the_others() -> None:
    book = ExampleLeases(make_examples(3))
    for holder in (0, 1):
        assert ids(book.take(holder, 1, share=0.1)) == ["q0"]
        assert book.lose(holder) == []
    assert ids(book.take(2, 9, share=9.0)) == ["q1", "q2"]
    assert ids(book.take(3, 9, share=9.0)) == ["q0"]
    book.give_back(3)
    assert book.lose(2) == []
    assert ids(book.take(4, 9, share=9.0)) == ["q1", "q2"]


@given(seed=st.integers(0, 10_000), num_examples=st.integers(0, 30), num_holders=st.integers(1, 4))
def test_every_example_ends_exactly_once(seed: int, num_examples: int, num_holders: int) -> None:
    rng = random.Random(seed)
    book = ExampleLeases(make_examples(num_examples))
    held: dict[int, list[Example]] = {}
    ended: list[str] = []
    next_holder = num_holders
    holders = list(range(num_holders))
    while not book.done:
        holder = rng.choice(holders)
        mine = held.setdefault(holder, [])
        mine += book.take(holder, rng.randint(0, 8), share=1 / num_holders)
        assert book.num_held(holder) == len(mine)
        if rng.random() < 0.2:
            ended += [example.example_id for example in book.lose(holder)]
            del held[holder]
            holders[holders.index(holder)] = next_holder
            next_holder += 1
        elif mine and rng.random() < 0.7:
            example = mine.pop(rng.randrange(len(mine)))
            book.settle(holder, example.example_id)
            ended.append(example.example_id)
    assert sorted(ended) == sorted(example.example_id for example in make_examples(num_examples))
    assert book.num_ended == num_examples
