from collections.abc import Sequence

import pytest

from search_cluster.cache.front import CachedEvaluator
from search_cluster.cache.memory import MemoryStore
from search_cluster.cache.store import StoreErrors
from search_cluster.errors import InvalidValueError
from search_cluster.evaluation.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.evaluation.scripted import ScriptedEvaluator
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

EXAMPLE = Example(task="t", question="q", gold="a", split="train", source="here")
PATHS = [LayerPath((layer,), 8) for layer in range(8)]


def verdict(reward: float = 1.0) -> Verdict:
    return Verdict(reward=reward, margin=None, output=f"{reward:g}", num_layer_tokens=1)


def requests(*numbers: int, first_id: int = 0) -> list[EvaluationRequest]:
    return [
        EvaluationRequest(request_id=first_id + offset, example=EXAMPLE, path=PATHS[number])
        for offset, number in enumerate(numbers)
    ]


class CountingStore(MemoryStore):
    """A memory store that notes the size of every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.gets: list[int] = []
        self.puts: list[int] = []

    @property
    def errors(self) -> StoreErrors:
        return StoreErrors(num_corrupt=2, num_failed=3, num_buffered=100, num_dropped=1000)

    def get_many(self, items: Sequence[tuple[str, LayerPath]]) -> list[Verdict | None]:
        self.gets.append(len(items))
        return super().get_many(items)

    def put_many(self, items: Sequence[tuple[str, LayerPath, Verdict]]) -> None:
        self.puts.append(len(items))
        super().put_many(items)


class BusyEvaluator(ScriptedEvaluator):
    """Has nothing ready; a call that would wait for it fails."""

    def collect(self, timeout_s: float | None = None) -> list[EvaluationResult]:
        assert timeout_s is not None, "waited for a miss"
        return []


def test_misses_go_in_one_batch_to_the_devices_and_are_stored_in_one() -> None:
    store = CountingStore()
    cached = CachedEvaluator(ScriptedEvaluator(lambda *_: 1.0), store)
    cached.submit(requests(0, 1, 2))
    results = cached.collect()
    assert sorted(result.request_id for result in results) == [0, 1, 2]
    assert not any(result.from_cache for result in results)
    assert (store.gets, store.puts) == ([3], [3])
    assert store.get_many([(EXAMPLE.example_id, PATHS[2])]) == [verdict()]


def test_what_was_answered_once_is_answered_from_this_process() -> None:
    store = CountingStore()
    cached = CachedEvaluator(ScriptedEvaluator(lambda *_: 1.0), store)
    cached.submit(requests(0, 1))
    cached.collect()
    cached.submit(requests(1, 0, first_id=2))
    results = cached.collect()
    assert [(result.request_id, result.from_cache, result.device_busy_s) for result in results] == [
        (2, True, 0.0),
        (3, True, 0.0),
    ]
    assert store.gets == [2]
    assert cached.collect() == []


def test_a_store_that_was_filled_before_answers_without_a_device() -> None:
    store = CountingStore()
    store.put_many([(EXAMPLE.example_id, path, verdict(0.0)) for path in PATHS])
    cached = CachedEvaluator(ScriptedEvaluator(lambda *_: 1.0), store)
    cached.submit(requests(*range(8)))
    results = cached.collect()
    assert {result.outcome for result in results} == {verdict(0.0)}
    assert cached.stats().num_evaluated == 0
    assert cached.stats().num_cached == 8
    assert store.puts == [8]


def test_hits_do_not_wait_for_misses() -> None:
    store = MemoryStore()
    store.put_many([(EXAMPLE.example_id, PATHS[0], verdict())])
    cached = CachedEvaluator(BusyEvaluator(lambda *_: 1.0), store)
    cached.submit(requests(0, 1))
    assert [result.request_id for result in cached.collect()] == [0]
    assert cached.collect(timeout_s=0.5) == []


def test_hits_and_finished_misses_come_together() -> None:
    store = MemoryStore()
    store.put_many([(EXAMPLE.example_id, PATHS[0], verdict())])
    cached = CachedEvaluator(ScriptedEvaluator(lambda *_: 1.0), store)
    cached.submit(requests(0, 1))
    assert [result.from_cache for result in cached.collect()] == [True, False]


def test_the_same_question_twice_in_a_batch_is_looked_up_once() -> None:
    store = CountingStore()
    cached = CachedEvaluator(ScriptedEvaluator(lambda *_: 1.0), store)
    cached.submit(requests(0, 0))
    assert sorted(result.request_id for result in cached.collect()) == [0, 1]
    assert store.gets == [1]


def test_failures_are_handed_on_and_never_stored() -> None:
    store = CountingStore()
    failure = Failure(kind="NonFiniteLogitsError", message="NaN")
    cached = CachedEvaluator(ScriptedEvaluator(lambda *_: failure), store)
    for attempt in range(2):
        cached.submit(requests(0, first_id=attempt))
        assert [result.outcome for result in cached.collect()] == [failure]
    assert store.puts == []
    assert cached.stats().num_failures == 2
    assert cached.stats().num_cached == 0


def test_preloaded_verdicts_stay_and_the_front_is_bounded() -> None:
    store = CountingStore()
    cached = CachedEvaluator(ScriptedEvaluator(lambda *_: 1.0), store, max_front_verdicts=2)
    cached.preload((EXAMPLE.example_id, path, verdict(0.5)) for path in PATHS[:4])
    cached.preload([(EXAMPLE.example_id, PATHS[0], verdict(0.25))])
    cached.submit(requests(4, 5))
    cached.collect()
    cached.submit(requests(4, first_id=10))  # 4 is now used later than 5
    cached.submit(requests(6, first_id=11))
    cached.collect()
    store.gets.clear()
    cached.submit(requests(0, 1, 2, 3, 4, 6, first_id=20))
    assert store.gets == []
    assert [result.outcome for result in cached.collect()] == [verdict(0.5)] * 4 + [verdict()] * 2
    cached.submit(requests(5, first_id=30))
    assert store.gets == [1]


def test_stats_add_hits_and_cache_errors_and_limits_come_from_inside() -> None:
    inner = ScriptedEvaluator(lambda *_: 1.0, max_in_flight=7)
    cached = CachedEvaluator(inner, CountingStore())
    assert cached.max_in_flight == 7
    assert cached.stats().num_cache_errors == 5
    assert cached.stats().num_devices == 1
    cached.close()
    assert inner.closed


def test_a_front_without_room_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="max_front_verdicts is 0"):
        CachedEvaluator(ScriptedEvaluator(lambda *_: 1.0), MemoryStore(), max_front_verdicts=0)
