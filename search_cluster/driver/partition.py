"""What a coordinator on the cluster hosts: searches behind a cache of their own."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search_cluster.cache.cached_evaluator import CachedEvaluator
from search_cluster.cache.open import open_store, require_usable_url
from search_cluster.corpus.record import ExampleRecord
from search_cluster.driver.job import SearchJob, make_coordinator, preload
from search_cluster.errors import CacheError, SearchClusterError
from search_cluster.protocols.counters import EvaluatorStats, SearchCounts
from search_cluster.protocols.evaluator import PathEvaluator

if TYPE_CHECKING:
    from search_cluster.cluster.partition import Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSetup:
    """Implements `search_cluster.cluster.partition.PartitionFactory`."""

    job: SearchJob

    def build(self, evaluator: PathEvaluator, *, replacing: bool) -> "SearchPartition":
        """Connects to the cache; a replacement goes on without it until it answers.

        Raises:
            CacheError: the server can't be reached, and this is no replacement.
        """
        return SearchPartition(self.job, evaluator, cache_may_be_lost=replacing)

    def is_outage(self, error: SearchClusterError) -> bool:
        """Whether it is the cache server, and this process, which has used it, can't use it now either."""
        if not isinstance(error, CacheError):
            return False
        try:
            require_usable_url(self.job.redis_url)
        except CacheError:
            return True
        return False


class SearchPartition:
    """Implements `search_cluster.cluster.partition.Partition`: a coordinator behind a cache of its own."""

    def __init__(self, job: SearchJob, evaluator: PathEvaluator, *, cache_may_be_lost: bool) -> None:
        self._stack = ExitStack()
        store = self._stack.enter_context(
            open_store(job.redis_url, context=job.context, run_dir=job.run_dir, may_be_lost=cache_may_be_lost)
        )
        self._evaluator = CachedEvaluator(evaluator, store)
        self._stack.callback(self._evaluator.close)
        self._coordinator = make_coordinator(job, self._evaluator, (), ())

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        return self._coordinator.busy

    @property
    def num_waiting(self) -> int:
        """Examples that were not started yet."""
        return self._coordinator.num_waiting

    @property
    def num_in_flight(self) -> int:
        """Requests whose outcome is awaited."""
        return self._coordinator.num_in_flight

    @property
    def delivered(self) -> SearchCounts:
        """What was delivered to searches."""
        return self._coordinator.delivered

    @property
    def settled(self) -> SearchCounts:
        """What was delivered to searches that have ended."""
        return self._coordinator.settled

    def add(self, leases: "Sequence[Lease]") -> None:
        """Search these examples, too."""
        preload(self._evaluator, {lease.example.example_id: lease.known for lease in leases})
        self._coordinator.add(lease.example for lease in leases)

    def step(self, timeout_s: float) -> list[ExampleRecord]:
        """Go on for one batch of results; the records of the examples that ended."""
        return self._coordinator.step(timeout_s)

    def stats(self) -> EvaluatorStats:
        """Counters of the evaluator and of the cache in front of it."""
        return self._evaluator.stats()

    def close(self) -> None:
        """Write what waits. Idempotent."""
        self._stack.close()
