"""The seam between a run and whoever drives its searches."""

from collections.abc import Sequence
from typing import Protocol

from search_cluster.corpus.encoded_shard import EncodedShard, Found
from search_cluster.protocols.counters import EvaluatorStats, SearchProgress
from search_cluster.tree.menu import MenuPath


class Driver(Protocol):
    """The searches of a run; call `step` as long as `busy`. Used by one thread.

    `search_cluster.search.coordinator.Coordinator` is one, for this process alone.
    """

    @property
    def busy(self) -> bool:
        """Whether an example has not ended."""
        ...

    @property
    def menu(self) -> tuple[MenuPath, ...]:
        """What the study found; empty before its end, and without one."""
        ...

    def step(self) -> Sequence[Found]:
        """Go on for a moment; what came of examples that ended.

        Of those that failed at once there are records in any case, for they may be one fault.

        Raises:
            EvaluatorError: nobody is left to evaluate.
        """
        ...

    def progress(self) -> SearchProgress:
        """Counts so far."""
        ...

    def stats(self) -> EvaluatorStats:
        """Counters of all workers and caches so far."""
        ...

    def close(self) -> Sequence[EncodedShard]:
        """End the searches; the shards that no step has handed out. Idempotent."""
        ...
