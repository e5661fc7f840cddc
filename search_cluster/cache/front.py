"""An evaluator that answers from the cache what it can and remembers what the devices say."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from search_cluster.cache.store import VerdictStore
from search_cluster.errors import InvalidValueError
from search_cluster.evaluation.evaluator import PathEvaluator
from search_cluster.evaluation.messages import EvaluationRequest, EvaluationResult, EvaluatorStats
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.verdict import Verdict

MAX_FRONT_VERDICTS = 100_000
"""About 70 MB for paths of 30 layers."""

FrontKey = tuple[str, LayerPath]


class CachedEvaluator:
    """Implements `PathEvaluator` over another one and a verdict store.

    `submit` looks requests up, first in this process, then in the store; hits come back from the next `collect` without
    waiting for misses, which go to ``inner``. Verdicts are stored before they are handed out; failures are never
    stored. Owns ``inner``; whoever opened the store closes it, after this evaluator.

    Args:
        inner: evaluates what is not cached.
        store: holds verdicts of the same context.
        max_front_verdicts: verdicts kept in this process at most, least recently used go first; preloaded ones neither
            count nor go.
    """

    def __init__(
        self, inner: PathEvaluator, store: VerdictStore, *, max_front_verdicts: int = MAX_FRONT_VERDICTS
    ) -> None:
        if max_front_verdicts < 1:
            raise InvalidValueError(f"max_front_verdicts is {max_front_verdicts}; keep at least 1 verdict")
        self._inner = inner
        self._store = store
        self._max_front_verdicts = max_front_verdicts
        self._preloaded: dict[FrontKey, Verdict] = {}
        self._front: OrderedDict[FrontKey, Verdict] = OrderedDict()
        self._hits: list[EvaluationResult] = []
        self._in_flight: dict[int, FrontKey] = {}
        self._num_cached = 0

    @property
    def max_in_flight(self) -> int:
        """As the inner evaluator says."""
        return self._inner.max_in_flight

    def preload(self, items: Iterable[tuple[str, LayerPath, Verdict]]) -> None:
        """Take verdicts that are known from elsewhere (example id, path, verdict); they stay. The first one wins."""
        for example_id, path, verdict in items:
            self._preloaded.setdefault((example_id, path), verdict)

    def submit(self, requests: Sequence[EvaluationRequest]) -> None:
        """Queue requests; one batched look-up in the store for all that this process does not know."""
        keys = [(request.example.example_id, request.path) for request in requests]
        known = {key: verdict for key in keys if (verdict := self._recall(key)) is not None}
        unknown = list(dict.fromkeys(key for key in keys if key not in known))
        if unknown:
            for key, verdict in zip(unknown, self._store.get_many(unknown), strict=True):
                if verdict is not None:
                    known[key] = verdict
                    self._remember(key, verdict)
        misses = []
        for request, key in zip(requests, keys, strict=True):
            if key in known:
                self._hits.append(EvaluationResult(request_id=request.request_id, outcome=known[key], from_cache=True))
            else:
                self._in_flight[request.request_id] = key
                misses.append(request)
        if misses:
            self._inner.submit(misses)

    def collect(self, timeout_s: float | None = None) -> list[EvaluationResult]:
        """Hits at once, with what the inner evaluator has ready; without hits, as the inner evaluator says."""
        hits, self._hits = self._hits, []
        self._num_cached += len(hits)
        if not self._in_flight:
            return hits
        results = self._inner.collect(0.0 if hits else timeout_s)
        fresh = []
        for result in results:
            key = self._in_flight.pop(result.request_id)
            if isinstance(result.outcome, Verdict):
                self._remember(key, result.outcome)
                fresh.append((*key, result.outcome))
        if fresh:
            self._store.put_many(fresh)
        return hits + results

    def stats(self) -> EvaluatorStats:
        """The inner evaluator's counters, with hits and cache errors."""
        stats, errors = self._inner.stats(), self._store.errors
        return replace(
            stats,
            num_cached=stats.num_cached + self._num_cached,
            num_cache_errors=stats.num_cache_errors + errors.num_corrupt + errors.num_failed,
            num_in_flight=stats.num_in_flight + len(self._hits),
        )

    def close(self) -> None:
        """Close the inner evaluator; hits that were not collected are dropped. Idempotent."""
        self._hits.clear()
        self._in_flight.clear()
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
