from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from search_cluster.workers.dispatch import Dispatcher

Item = tuple[str, int]


class Workers(Dispatcher[Item]):
    """With a batch size for all."""

    def __init__(self, num_workers: int = 2, batch_size: int = 3) -> None:
        super().__init__(lambda item: item[0])
        self._batch_size = batch_size
        for worker in range(num_workers):
            self.join(worker)

    def next_batch(
        self, worker: int, size: int | None = None, *, take_over: bool = True
    ) -> list[Item]:
        return super().next_batch(worker, size or self._batch_size, take_over=take_over)


def new_dispatcher(num_workers: int = 2, batch_size: int = 3) -> Workers:
    return Workers(num_workers, batch_size)


def test_what_waits_for_a_worker_that_leaves_moves_to_the_others() -> None:
    dispatcher = new_dispatcher(batch_size=10)
    dispatcher.add([("a", 1), ("b", 1), ("a", 2)])
    dispatcher.leave(0)
    assert sorted(dispatcher.next_batch(1)) == [("a", 1), ("a", 2), ("b", 1)]
    dispatcher.add([("a", 3)])
    dispatcher.leave(1)
    dispatcher.add([("a", 4)])
    assert len(dispatcher) == 2
    dispatcher.join(7)
    assert dispatcher.next_batch(7) == [("a", 3), ("a", 4)]


def test_an_examples_items_stay_with_one_worker() -> None:
    dispatcher = new_dispatcher()
    dispatcher.add([("a", 1), ("b", 1), ("a", 2), ("b", 2)])
    assert dispatcher.next_batch(0) == [("a", 1), ("a", 2)]
    assert dispatcher.next_batch(1) == [("b", 1), ("b", 2)]
    dispatcher.add([("b", 3), ("a", 3)])
    assert dispatcher.next_batch(0) == [("a", 3)]


def test_an_idle_worker_takes_over_whole_examples_and_keeps_them() -> None:
    dispatcher = new_dispatcher(batch_size=10)
    dispatcher.add([("a", 1), ("b", 1)])
    dispatcher.next_batch(1)
    dispatcher.add([("a", 2), ("a", 3), ("c", 1)])  # c moves in where the queue is empty
    assert dispatcher.next_batch(1) == [("c", 1)]
    dispatcher.add([("a", 4), ("d", 1), ("d", 2)])
    taken = dispatcher.next_batch(1)
    assert taken == [("d", 1), ("d", 2)]
    dispatcher.add([("d", 3)])
    assert ("d", 3) in dispatcher.next_batch(1)


def test_a_new_example_makes_its_home_at_the_worker_with_the_least_to_do() -> None:
    running = {0: 2, 1: 0}
    dispatcher = Dispatcher[Item](lambda item: item[0], running.__getitem__)
    dispatcher.join(0)
    dispatcher.join(1)
    dispatcher.add([("a", 1), ("b", 1), ("c", 1), ("d", 1)])
    assert dispatcher.next_batch(0, 9) == [("c", 1)]
    assert dispatcher.next_batch(1, 9) == [("a", 1), ("b", 1), ("d", 1)]


def test_a_worker_may_leave_others_their_work() -> None:
    dispatcher = new_dispatcher(batch_size=10)
    dispatcher.add([("a", 1), ("b", 1), ("a", 2)])
    assert dispatcher.next_batch(1) == [("b", 1)]
    assert dispatcher.next_batch(1, take_over=False) == []
    assert dispatcher.next_batch(1) == [("a", 1), ("a", 2)]


def test_first_items_come_before_the_others_in_their_order() -> None:
    dispatcher = new_dispatcher(num_workers=1)
    dispatcher.add([("a", 3)])
    dispatcher.add_first([("a", 1), ("a", 2)])
    assert dispatcher.next_batch(0) == [("a", 1), ("a", 2), ("a", 3)]


@given(
    items=st.lists(st.tuples(st.sampled_from("abcdef"), st.integers()), max_size=40),
    workers=st.lists(st.integers(0, 2), min_size=1, max_size=60),
)
def test_every_item_is_handed_out_once(items: list[Item], workers: list[int]) -> None:
    dispatcher = new_dispatcher(num_workers=3)
    dispatcher.add(items)
    handed = [item for worker in workers for item in dispatcher.next_batch(worker)]
    while batch := dispatcher.next_batch(0):
        handed += batch
        assert len(dispatcher) == len(items) - len(handed)
    assert sorted(handed) == sorted(items)
    assert len(dispatcher) == 0


class UncountedDict(dict[Any, Any]):
    """Does not let anybody walk through it."""

    def values(self) -> Any:
        raise AssertionError("it takes the longer the more workers there are")

    __iter__ = items = values


def test_to_ask_whether_anything_waits_takes_as_long_for_many_workers_as_for_few() -> None:
    dispatcher = new_dispatcher()
    dispatcher.add([("a", 1), ("b", 1), ("a", 2)])
    dispatcher.next_batch(1)
    dispatcher._queues = UncountedDict(dispatcher._queues)
    assert len(dispatcher) == 2
    assert dispatcher.next_batch(0) == [("a", 1), ("a", 2)]
    assert dispatcher.next_batch(0) == []
