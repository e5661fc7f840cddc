"""How a coordinator on the cluster gets its part of a run: searches behind a cache of their own."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search_cluster.cache.cached_evaluator import CachedEvaluator
from search_cluster.cache.open import open_store, require_usable_url
from search_cluster.driver.job import SearchJob, make_coordinator
from search_cluster.errors import CacheError, SearchClusterError
from search_cluster.protocols.evaluator import PathEvaluator

if TYPE_CHECKING:
    from search_cluster.cluster.coordinators.partition import Partition


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSetup:
    """Implements `search_cluster.cluster.coordinators.partition.PartitionFactory`."""

    job: SearchJob

    def build(self, evaluator: PathEvaluator, *, replacing: bool) -> "Partition":
        """Connect to the cache; a replacement goes on without it until it answers.

        Raises:
            CacheError: the server can't be reached, and this is no replacement.
        """
        from search_cluster.cluster.coordinators.partition import Partition
        from search_cluster.cluster.coordinators.shard_maker import ShardMaker

        job = self.job
        with ExitStack() as stack:
            store = stack.enter_context(
                open_store(
                    job.redis_url,
                    context=job.context,
                    run_dir=job.run_dir,
                    may_be_lost=replacing,
                )
            )
            cached = CachedEvaluator(evaluator, store)
            stack.callback(cached.close)
            coordinator = make_coordinator(job, cached, (), ())
            return Partition(
                coordinator=coordinator,
                evaluator=cached,
                shards=ShardMaker(job.shards),
                resources=stack.pop_all(),
            )

    def is_outage(self, error: SearchClusterError) -> bool:
        """Whether it is the cache server, which this process has used and can't use now either."""
        if not isinstance(error, CacheError):
            return False
        try:
            require_usable_url(self.job.redis_url)
        except CacheError:
            return True
        return False
