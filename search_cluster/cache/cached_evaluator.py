"""An evaluator that answers from the cache what it can and remembers what the workers say."""

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

MAX_RECENT_VERDICTS = 100_000
"""The default number of verdicts that are kept in this process; about 70 MB for paths of 30
layers."""
MAX_WAITING_SHARE = 4
"""How many requests may wait for other jobs, as a multiple of those that keep the workers busy."""
FIRST_POLL_S = 0.02
MAX_POLL_S = 1.0
"""The longest pause between two questions whether another job has finished, and between two calls
of `VerdictStore.keep_claims`."""
MIN_PAUSE_PER_POLL = 10
"""The shortest pause between two such questions, as a multiple of the time that the last one
took."""
MAX_WAIT_S = 600.0
"""How long another job is waited for; what it has not finished by then, though it lives, is
computed here, too."""

VerdictKey = tuple[str, LayerPath]


class CachedEvaluator:
    """Implements `PathEvaluator` over another one and a verdict store.

    `submit` looks requests up, first in this process, then in the store; hits come back from the
    next `collect` without waiting for misses, which go to ``inner``. What is asked for twice is
    computed once, also by two jobs on one store: what another job computes is waited for, and taken
    over when that job is gone. Verdicts are stored before they are handed out; failures are never
    stored. It owns ``inner``; whoever opened the store closes it, after this evaluator.

    Args:
        inner: evaluates what is not cached.
        store: holds verdicts of the same context.
        max_recent_verdicts: the largest number of verdicts kept in this process. The least recently
            used go first; preloaded ones neither count nor go.
        clock: seconds that never run backwards.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        inner: PathEvaluator,
        store: VerdictStore,
        *,
        max_recent_verdicts: int = MAX_RECENT_VERDICTS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if max_recent_verdicts < 1:
            raise InvalidValueError(
                f"max_recent_verdicts is {max_recent_verdicts}; keep at least 1 verdict"
            )
        self._inner = inner
        self._store = store
        self._max_recent_verdicts = max_recent_verdicts
        self._clock = clock
        self._sleep = sleep
        self._preloaded: dict[VerdictKey, Verdict] = {}
        self._recent: OrderedDict[VerdictKey, Verdict] = OrderedDict()
        self._hits: list[EvaluationResult] = []
        self._in_flight: dict[int, VerdictKey] = {}
        self._followers: dict[VerdictKey, list[int]] = {}
        """For each key in flight, further requests for it."""
        self._elsewhere: dict[VerdictKey, list[EvaluationRequest]] = {}
        """For each key that another job computes, the requests that wait for it here."""
        self._waits_until: dict[VerdictKey, float] = {}
        self._poll_s = FIRST_POLL_S
        self._poll_at = 0.0
        self._num_cache_hits = 0

    @property
    def max_in_flight(self) -> int:
        """The inner evaluator's number, and what waits for other jobs, within a bound.

        What waits keeps no worker busy, so as much again may be asked for meanwhile.
        """
        most = self._inner.max_in_flight
        num_waiting = sum(map(len, self._elsewhere.values()))
        return most + min(num_waiting, MAX_WAITING_SHARE * most)

    def preload(self, items: Iterable[tuple[str, LayerPath, Verdict]]) -> None:
        """Take verdicts (example id, path, verdict) that are known from elsewhere.

        They stay, and the first one of a key wins.
        """
        for example_id, path, verdict in items:
            self._preloaded.setdefault((example_id, path), verdict)

    def submit(self, requests: Sequence[EvaluationRequest]) -> None:
        """Queue requests; what is unknown here is looked up in the store as one batch."""
        # What is asked for twice is computed once: a further request for a key joins the first one,
        # wherever that is, and the same holds for two requests of one call.
        unknown: dict[VerdictKey, list[EvaluationRequest]] = {}
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

    def _claim(self, wanted: dict[VerdictKey, list[EvaluationRequest]]) -> None:
        """Answer what the store has, start what is ours, note what others compute."""
        misses = []
        # Taken before the look-up, so that a slow server does not make the wait for other jobs
        # longer.
        now_s = self._clock()
        answers = self._store.claim_many(list(wanted)) if wanted else []
        for (key, requests), answer in zip(wanted.items(), answers, strict=True):
            # The wait ends at a time that was set when the key was first found to be theirs,
            # however often it has been asked for since. Afterwards two jobs compute it, and the
            # first to write wins: a job that hangs but keeps its claims must not hold this one up
            # for ever.
            if answer is Claim.THEIRS and now_s < self._waits_until.setdefault(
                key, now_s + MAX_WAIT_S
            ):
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
        """Hits at once, with what the inner evaluator has ready.

        Without hits it waits as the inner evaluator does.
        """
        give_up_at = float("inf") if timeout_s is None else self._clock() + timeout_s
        # Polls come before the hits are taken, since they bring some. Claims are kept on every
        # turn, and a turn ends at the next poll, or after `MAX_POLL_S`, however long the caller
        # would wait: otherwise claims would run out while the workers are busy.
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
        """Ask for what others compute, if it is time to.

        It is asked for less and less often while nothing comes.
        """
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
        """How long there is nothing to do but to wait for the workers."""
        return max(0.0, self._poll_at - self._clock()) if self._elsewhere else MAX_POLL_S

    def _take_hits(self) -> list[EvaluationResult]:
        hits, self._hits = self._hits, []
        self._num_cache_hits += len(hits)
        return hits

    def _take_results(self, results: Sequence[EvaluationResult]) -> list[EvaluationResult]:
        """Store what is fresh, let others try what failed, and answer all who asked."""
        fresh, failed, answered = [], [], []
        # Verdicts are put before anybody sees them: a caller that acts on one and dies finds the
        # same one when it runs again.
        for result in results:
            key = self._in_flight.pop(result.request_id)
            answered.append(result)
            if isinstance(result.outcome, Verdict):
                self._remember(key, result.outcome)
                fresh.append((*key, result.outcome))
                self._hits += [
                    _hit(request_id, result.outcome) for request_id in self._followers.pop(key)
                ]
            else:
                failed.append(key)
                answered += [
                    replace(result, request_id=request_id, device_busy_s=0.0)
                    for request_id in self._followers.pop(key)
                ]
        if fresh:
            self._store.put_many(fresh)
        if failed:  # A failure may be this worker's alone, so whoever waits for the key may try it.
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
        """Close the inner evaluator.

        Hits that were not collected are dropped, and others may compute the rest.
        """
        # Claims go before the inner evaluator does: its end may take long, and others need not wait
        # for it, nor for the claims to run out.
        self._hits.clear()
        self._elsewhere.clear()
        self._waits_until.clear()
        self._store.release_many(list(self._in_flight.values()))
        self._in_flight.clear()
        self._followers.clear()
        self._inner.close()

    def _recall(self, key: VerdictKey) -> Verdict | None:
        if key in self._preloaded:
            return self._preloaded[key]
        if key in self._recent:
            self._recent.move_to_end(key)
        return self._recent.get(key)

    def _remember(self, key: VerdictKey, verdict: Verdict) -> None:
        self._recent[key] = verdict
        self._recent.move_to_end(key)
        if len(self._recent) > self._max_recent_verdicts:
            self._recent.popitem(last=False)


def _hit(request_id: int, verdict: Verdict) -> EvaluationResult:
    return EvaluationResult(request_id=request_id, outcome=verdict, from_cache=True)
