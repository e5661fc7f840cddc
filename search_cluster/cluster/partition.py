"""What a coordinator actor hosts, and the messages between it and the driver.

The driver knows nothing of searches, the actor nothing of the run: `search_cluster.driver.partition` brings both
together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from search_cluster.cluster.record_wire import PackedRecord
from search_cluster.cluster.worker_handle import ReadyWorker, WorkerHandle
from search_cluster.corpus.record import ExampleRecord, PathVerdict
from search_cluster.errors import SearchClusterError
from search_cluster.protocols.counters import EvaluatorStats, SearchCounts
from search_cluster.protocols.evaluator import PathEvaluator
from search_cluster.tasks.example import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """An example to search, with the verdicts that an earlier invocation left in the corpus."""

    example: Example
    known: tuple[PathVerdict, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOrder:
    """What a coordinator is told for one step."""

    evaluators: tuple[ReadyWorker, ...] = ()
    """They are its own from now on."""
    leases: tuple[Lease, ...] = ()
    more: bool
    """Whether there are examples left to lease: then a step ends as soon as evaluators run out of work."""
    duration_s: float
    """Of the step, at most; it takes a little longer if many results arrive at its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What a coordinator says after a step; counters are totals since it was started."""

    pid: int
    """Of the coordinator's process."""
    records: tuple[PackedRecord, ...]
    """Of the examples that ended in this step."""
    delivered: SearchCounts
    settled: SearchCounts
    """The part of `delivered` that belongs to examples that have ended."""
    stats: EvaluatorStats
    num_evaluators: int
    lost: tuple[WorkerHandle, ...]
    """Evaluators that died in this step, and are not its own any more."""
    num_wanted: int
    """Examples that it could start in the next steps beyond those that it has."""
    busy: bool
    """Whether it has anything to do."""
    messages: tuple[str, ...] = ()
    """Warnings that were logged there in this step."""


class Partition(Protocol):
    """The searches of the examples that one coordinator holds. One thread owns a partition."""

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        ...

    @property
    def num_waiting(self) -> int:
        """Examples that were not started yet."""
        ...

    @property
    def num_in_flight(self) -> int:
        """Requests whose outcome is awaited."""
        ...

    @property
    def delivered(self) -> SearchCounts:
        """What was delivered to searches."""
        ...

    @property
    def settled(self) -> SearchCounts:
        """What was delivered to searches that have ended."""
        ...

    def add(self, leases: Sequence[Lease]) -> None:
        """Search these examples, too."""
        ...

    def step(self, timeout_s: float) -> list[ExampleRecord]:
        """Go on for one batch of results or ``timeout_s``; the records of the examples that ended."""
        ...

    def stats(self) -> EvaluatorStats:
        """Counters of the evaluator and of the cache in front of it."""
        ...

    def close(self) -> None:
        """Write what waits, and let go of everything but the evaluator's workers. Idempotent."""
        ...


class PartitionFactory(Protocol):
    """Builds a partition in the process of a coordinator. Travels there, so it is small and can be pickled.

    Its text form holds no secret.
    """

    def build(self, evaluator: PathEvaluator, *, replacing: bool) -> Partition:
        """The partition over an evaluator, which becomes the partition's to close.

        Args:
            evaluator: answers requests.
            replacing: whether another coordinator of this run did this work before: then a service that does not
                answer at the moment is done without, as that one would have done.
        """
        ...

    def is_outage(self, error: SearchClusterError) -> bool:
        """Whether what kept a coordinator from building its partition troubles this process, too.

        Then it is no setting of that coordinator's node, and will pass.
        """
        ...
