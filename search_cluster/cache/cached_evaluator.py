"""An evaluator that answers from the cache what it can and remembers what the devices say."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from search_cluster.cache.store import Claim, VerdictStore
from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.counters import EvaluatorStats
from search_cluster.protocols.evaluator import PathEvaluator
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult
from search_cluster.tasks.verdict import Verdict

MAX_FRONT_VERDICTS = 100_000
"""About 70 MB for paths of 30 layers."""
MAX_WAITING_SHARE = 4
"""Requests that may wait for other jobs, over those that keep the devices busy."""
FIRST_POLL_S = 0.02
MAX_POLL_S = 1.0
"""Between two questions whether another job has finished, and between two calls of `VerdictStore.keep_claims`."""
MIN_PAUSE_PER_POLL = 10
"""Seconds between two such questions, over the seconds that the last one took."""
MAX_WAIT_S = 600.0
"""For another job; what that one has not finished by then, though it lives, is computed here, too."""

FrontKey = tuple[str, LayerPath]


class CachedEvaluator:
    """Implements `PathEvaluator` over another one and a verdict store.

    `submit` looks requests up, first in this process, then in the store; hits come back from the next `collect` without
    waiting for misses, which go to ``inner``. What is asked for twice is computed once, also by two jobs on one store:
    what another job computes is waited for, and taken over when that job is gone. Verdicts are stored before they are
    handed out; failures are never stored. Owns ``inner``; whoever opened the store closes it, after this evaluator.

    Args:
        inner: evaluates what is not cached.
        store: holds verdicts of the same context.
        max_front_verdicts: verdicts kept in this process at most, least recently used go first; preloaded ones neither
            count nor go.
        clock: seconds that never run backwards.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        inner: PathEvaluator,
        store: VerdictStore,
        *,
        max_front_verdicts: int = MAX_FRONT_VERDICTS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if max_front_verdicts < 1:
            raise InvalidValueError(f"max_front_verdicts is {max_front_verdicts}; keep at least 1 verdict")
        self._inner = inner
        self._store = store
        self._max_front_verdicts = max_front_verdicts
        self._clock = clock
        self._sleep = sleep
        self._preloaded: dict[FrontKey, Verdict] = {}
        self._front: OrderedDict[FrontKey, Verdict] = OrderedDict()
        self._hits: list[EvaluationResult] = []
        self._in_flight: dict[int, FrontKey] = {}
        self._followers: dict[FrontKey, list[int]] = {}
        """By what is in flight: further requests for it."""
        self._elsewhere: dict[FrontKey, list[EvaluationRequest]] = {}
        """By what another job computes: who waits for it here."""
        self._waits_until: dict[FrontKey, float] = {}
        self._poll_s = FIRST_POLL_S
        self._poll_at = 0.0
        self._num_cache_hits = 0

    @property
    def max_in_flight(self) -> int:
        """As the inner evaluator says, and what waits for other jobs, within a bound: devices stay busy meanwhile."""
        most = self._inner.max_in_flight
        num_waiting = sum(map(len, self._elsewhere.values()))
        return most + min(num_waiting, MAX_WAITING_SHARE * most)

    def preload(self, items: Iterable[tuple[str, LayerPath, Verdict]]) -> None:
        """Take verdicts that are known from elsewhere (example id, path, verdict); they stay. The first one wins."""
        for example_id, path, verdict in items:
            self._preloaded.setdefault((example_id, path), verdict)

    def submit(self, requests: Sequence[EvaluationRequest]) -> None:
        """Queue requests; one batched look-up in the store for all that this process does not know."""
        unknown: dict[FrontKey, list[EvaluationRequest]] = {}
        for request in requests:
            key = (request.example.example_id, request.path)
            if (verdict := self._recall(key)) is not None:
                self._hits.append(_hit(request.request_id, verdict))
            elif key in self._followers:
                self._followers[key].append(request.request_id)
            elif key in self._elsewhere:
                self._elsewhere[key].append(request)
            else:
                unknown.setdefault(key, []).append(request)
        self._claim(unknown)

    def _claim(self, wanted: dict[FrontKey, list[EvaluationRequest]]) -> None:
        """Answer what the store has, start what is ours, note what others compute."""
        misses = []
        now_s = self._clock()
        answers = self._store.claim_many(list(wanted)) if wanted else []
        for (key, requests), answer in zip(wanted.items(), answers, strict=True):
            if answer is Claim.THEIRS and now_s < self._waits_until.setdefault(key, now_s + MAX_WAIT_S):
                self._elsewhere[key] = requests
                continue
            self._elsewhere.pop(key, None)
            self._waits_until.pop(key, None)
            if isinstance(answer, Verdict):
                self._remember(key, answer)
                self._hits += [_hit(request.request_id, answer) for request in requests]
            else:
                first, *others = requests
                self._in_flight[first.request_id] = key
                self._followers[key] = [request.request_id for request in others]
                misses.append(first)
        if misses:
            self._inner.submit(misses)

    def collect(self, timeout_s: float | None = None) -> list[EvaluationResult]:
        """Hits at once, with what the inner evaluator has ready; without hits, as the inner evaluator says."""
        give_up_at = float("inf") if timeout_s is None else self._clock() + timeout_s
        while True:
            self._poll()
            self._store.keep_claims()
            results = self._take_hits()
            wait_s = 0.0 if results else max(0.0, min(self._pause_s(), give_up_at - self._clock()))
            if self._in_flight:
                results += self._take_results(self._inner.collect(wait_s))
            elif self._elsewhere and wait_s:
                self._sleep(wait_s)
            if results or not (self._in_flight or self._elsewhere) or self._clock() >= give_up_at:
                return results

    def _poll(self) -> None:
        """Ask for what others compute, if it is time to; less and less often while nothing comes."""
        if not self._elsewhere or self._clock() < self._poll_at:
            return
        started_s = self._clock()
        num_waiting = len(self._elsewhere)
        self._claim(dict(self._elsewhere))
        ended_s = self._clock()
        came = len(self._elsewhere) < num_waiting
        self._poll_s = FIRST_POLL_S if came else min(2 * self._poll_s, MAX_POLL_S)
        self._poll_at = ended_s + max(self._poll_s, MIN_PAUSE_PER_POLL * (ended_s - started_s))

    def _pause_s(self) -> float:
        """How long nothing has to be done but to wait for the devices."""
        return max(0.0, self._poll_at - self._clock()) if self._elsewhere else MAX_POLL_S

    def _take_hits(self) -> list[EvaluationResult]:
        hits, self._hits = self._hits, []
        self._num_cache_hits += len(hits)
        return hits

    def _take_results(self, results: Sequence[EvaluationResult]) -> list[EvaluationResult]:
        """Store what is fresh, let others try what failed, and answer all who asked for the same."""
        fresh, failed, answered = [], [], []
        for result in results:
            key = self._in_flight.pop(result.request_id)
            answered.append(result)
            if isinstance(result.outcome, Verdict):
                self._remember(key, result.outcome)
                fresh.append((*key, result.outcome))
                self._hits += [_hit(request_id, result.outcome) for request_id in self._followers.pop(key)]
            else:
                failed.append(key)
                answered += [
                    replace(result, request_id=request_id, device_busy_s=0.0) for request_id in self._followers.pop(key)
                ]
        if fresh:
            self._store.put_many(fresh)
        if failed:
            self._store.release_many(failed)
        return answered + self._take_hits()

    def stats(self) -> EvaluatorStats:
        """The inner evaluator's counters, with hits and cache errors."""
        stats, errors = self._inner.stats(), self._store.errors
        num_followers = sum(map(len, self._followers.values()))
        num_elsewhere = sum(map(len, self._elsewhere.values()))
        return replace(
            stats,
            num_cache_hits=stats.num_cache_hits + self._num_cache_hits,
            num_cache_errors=stats.num_cache_errors + errors.num_corrupt + errors.num_failed,
            num_in_flight=stats.num_in_flight + len(self._hits) + num_followers + num_elsewhere,
            num_elsewhere=num_elsewhere,
        )

    def close(self) -> None:
        """Close the inner evaluator; hits that were not collected are dropped, and others may compute the rest."""
        self._hits.clear()
        self._elsewhere.clear()
        self._waits_until.clear()
        self._store.release_many(list(self._in_flight.values()))
        self._in_flight.clear()
        self._followers.clear()
        self._inner.close()

    def _recall(self, key: FrontKey) -> Verdict | None:
        if key in self._preloaded:
            return self._preloaded[key]
        if key in self._front:
            self._front.move_to_end(key)
        return self._front.get(key)

    def _remember(self, key: FrontKey, verdict: Verdict) -> None:
        self._front[key] = verdict
        self._front.move_to_end(key)
        if len(self._front) > self._max_front_verdicts:
            self._front.popitem(last=False)


def _hit(request_id: int, verdict: Verdict) -> EvaluationResult:
    return EvaluationResult(request_id=request_id, outcome=verdict, from_cache=True)
