from collections.abc import Callable, Sequence

import pytest

from search_cluster.cache.cached_evaluator import MAX_WAIT_S, CachedEvaluator
from search_cluster.cache.memory import MemoryStore
from search_cluster.cache.store import Claim, StoreErrors
from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.protocols.scripted import ScriptedEvaluator
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

    def claim_many(self, items: Sequence[tuple[str, LayerPath]]) -> list[Verdict | Claim]:
        self.gets.append(len(items))
        return super().claim_many(items)

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
    assert cached.stats().num_cache_hits == 8
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


class SharedStore(MemoryStore):
    """A memory store of which another job has claimed something.

    It notes what is released, and when claims are kept.
    """

    def __init__(self, *taken: int) -> None:
        super().__init__()
        self.taken = {(EXAMPLE.example_id, PATHS[number]) for number in taken}
        self.released: list[LayerPath] = []
        self.num_kept = 0

    def claim_many(self, items: Sequence[tuple[str, LayerPath]]) -> list[Verdict | Claim]:
        answers = super().claim_many(items)
        return [
            Claim.THEIRS if item in self.taken and answer is Claim.OURS else answer
            for item, answer in zip(items, answers, strict=True)
        ]

    def keep_claims(self) -> None:
        self.num_kept += 1

    def release_many(self, items: Sequence[tuple[str, LayerPath]]) -> None:
        self.released += [path for _, path in items]


class Time:
    """A clock that sleeping moves; something may happen at a time."""

    def __init__(self, at_s: float = float("inf"), then: Callable[[], None] = lambda: None) -> None:
        self.now_s = 0.0
        self.num_sleeps = 0
        self._at_s, self._then = at_s, then

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.num_sleeps += 1
        self.now_s += seconds
        if self.now_s >= self._at_s:
            self._at_s = float("inf")
            self._then()


def waiting_for(store: SharedStore, time: Time) -> tuple[CachedEvaluator, ScriptedEvaluator]:
    inner = ScriptedEvaluator(lambda *_: 1.0, max_in_flight=2)
    return CachedEvaluator(inner, store, clock=time, sleep=time.sleep), inner


def test_what_another_job_computes_is_taken_from_the_store_when_it_is_there() -> None:
    store = SharedStore(0, 1)
    time = Time(7.0, lambda: store.put_many([(EXAMPLE.example_id, PATHS[0], verdict(0.5))]))
    cached, inner = waiting_for(store, time)
    cached.submit(requests(0, 1, 2, 0))
    assert [result.request_id for result in cached.collect()] == [2]
    assert cached.stats().num_in_flight == 3
    assert cached.collect(timeout_s=5.0) == []
    results = cached.collect()
    assert [(result.request_id, result.outcome, result.from_cache) for result in results] == [
        (0, verdict(0.5), True),
        (3, verdict(0.5), True),
    ]
    assert 7.0 <= time.now_s < 8.1
    assert time.num_sleeps < 20  # asked less and less often
    assert inner.stats().num_evaluated == 1


def test_what_another_job_gave_up_is_computed_here() -> None:
    store = SharedStore(0)
    cached, inner = waiting_for(store, Time(40.0, store.taken.clear))
    cached.submit(requests(0))
    assert [(result.request_id, result.from_cache) for result in cached.collect()] == [(0, False)]
    assert inner.stats().num_evaluated == 1
    assert store.num_kept > 40


def test_a_job_that_never_finishes_is_not_waited_for_for_ever() -> None:
    time = Time()
    cached, inner = waiting_for(SharedStore(0, 1), time)
    cached.submit(requests(0, 0, 1))
    assert sorted(result.request_id for result in cached.collect()) == [0, 1, 2]
    assert MAX_WAIT_S <= time.now_s < MAX_WAIT_S + 2
    assert inner.stats().num_evaluated == 2


def test_asking_for_much_is_not_done_often() -> None:
    class SlowStore(SharedStore):
        def claim_many(self, items: Sequence[tuple[str, LayerPath]]) -> list[Verdict | Claim]:
            time.now_s += 0.5
            return super().claim_many(items)

    time = Time()
    cached, _ = waiting_for(SlowStore(0), time)
    cached.submit(requests(0))
    cached.collect(timeout_s=100.0)
    assert 10 <= time.num_sleeps <= 20


def test_devices_get_other_work_while_some_waits_for_another_job() -> None:
    cached, _ = waiting_for(SharedStore(*range(8)), Time())
    assert cached.max_in_flight == 2
    cached.submit(requests(0, 1, 2, 7))
    assert cached.max_in_flight == 6
    cached.submit(requests(3, 4, 5, 6, 0, 0, first_id=10))
    assert cached.max_in_flight == 10


def test_what_is_asked_for_again_while_it_is_computed_is_computed_once() -> None:
    store = CountingStore()
    inner = ScriptedEvaluator(lambda *_: 1.0, answers_per_collect=1)
    cached = CachedEvaluator(inner, store)
    cached.submit(requests(0, 1, 0))
    cached.submit(requests(0, first_id=3))
    assert cached.stats().num_in_flight >= 2
    assert [(result.request_id, result.from_cache) for result in cached.collect()] == [
        (0, False),
        (2, True),
        (3, True),
    ]
    assert [result.request_id for result in cached.collect()] == [1]
    assert (inner.stats().num_evaluated, cached.stats().num_cache_hits, store.gets) == (2, 2, [2])


def test_a_failure_is_everybodys_answer_and_lets_other_jobs_try() -> None:
    store = SharedStore()
    failure = Failure(kind="NonFiniteLogitsError", message="NaN")
    cached = CachedEvaluator(ScriptedEvaluator(lambda *_: failure), store)
    cached.submit(requests(0, 0))
    assert [
        (result.request_id, result.outcome, result.from_cache) for result in cached.collect()
    ] == [
        (0, failure, False),
        (1, failure, False),
    ]
    assert store.released == [PATHS[0]]


def test_closing_releases_what_is_in_flight() -> None:
    store = SharedStore(1)
    cached, _ = waiting_for(store, Time())
    cached.submit(requests(0, 1))
    cached.close()
    assert store.released == [PATHS[0]]


def test_failures_are_handed_on_and_never_stored() -> None:
    store = CountingStore()
    failure = Failure(kind="NonFiniteLogitsError", message="NaN")
    cached = CachedEvaluator(ScriptedEvaluator(lambda *_: failure), store)
    for attempt in range(2):
        cached.submit(requests(0, first_id=attempt))
        assert [result.outcome for result in cached.collect()] == [failure]
    assert store.puts == []
    assert cached.stats().num_failures == 2
    assert cached.stats().num_cache_hits == 0


def test_preloaded_verdicts_stay_and_the_front_is_bounded() -> None:
    store = CountingStore()
    cached = CachedEvaluator(ScriptedEvaluator(lambda *_: 1.0), store, max_recent_verdicts=2)
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
    with pytest.raises(InvalidValueError, match="max_recent_verdicts is 0"):
        CachedEvaluator(ScriptedEvaluator(lambda *_: 1.0), MemoryStore(), max_recent_verdicts=0)
