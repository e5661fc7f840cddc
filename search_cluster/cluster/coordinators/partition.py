"""What a coordinator actor hosts: the searches of its examples behind a cache of their own.

The driver knows nothing of these searches, the actor nothing of the run:
`search_cluster.driver.partition` makes partitions for a run.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from search_cluster.cache.cached_evaluator import CachedEvaluator
from search_cluster.cluster.coordinators.messages import Lease
from search_cluster.cluster.coordinators.shard_maker import ShardMaker
from search_cluster.errors import SearchClusterError
from search_cluster.protocols.evaluator import PathEvaluator
from search_cluster.search.coordinator import Coordinator


@dataclass(slots=True, kw_only=True, eq=False)
class Partition:
    """The part of a run's examples that one actor searches. One thread owns it."""

    coordinator: Coordinator
    """Drives their searches."""
    evaluator: CachedEvaluator
    """The cache, in front of the workers that the actor was given."""
    shards: ShardMaker
    """Makes shards of what the coordinator finds."""
    resources: ExitStack
    """Closes what the two stand on."""

    def add(self, leases: Sequence[Lease]) -> None:
        """Search these examples, too."""
        self.evaluator.preload(
            (lease.example.example_id, item.path, item.verdict)
            for lease in leases
            for item in lease.known
        )
        for lease in leases:
            if lease.is_written:
                self.shards.note_written(lease.example.example_id)
        self.coordinator.add(lease.example for lease in leases)

    def close(self) -> None:
        """Write what waits, and let go of everything but the workers. Idempotent."""
        self.resources.close()


class PartitionFactory(Protocol):
    """Builds a partition in the process of a coordinator.

    It travels there, so it is small and can be pickled. Its text form holds no secret.
    """

    def build(self, evaluator: PathEvaluator, *, replacing: bool) -> Partition:
        """The partition over an evaluator, which becomes the partition's to close.

        Args:
            evaluator: answers requests.
            replacing: whether another coordinator of this run did this work before: then a service
                that does not answer at the moment is done without, as that one would have done.
        """
        ...

    def is_outage(self, error: SearchClusterError) -> bool:
        """Whether what kept a coordinator from building its partition troubles this process, too.

        Then it is no setting of that coordinator's node, and will pass.
        """
        ...
