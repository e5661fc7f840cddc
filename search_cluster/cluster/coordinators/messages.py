"""What the driver and a coordinator actor tell each other: leases, orders and reports."""

from dataclasses import dataclass

from search_cluster.cluster.coordinators.record_wire import PackedRecord
from search_cluster.cluster.worker_handle import LostWorker, ReadyWorker, WorkerHandle
from search_cluster.corpus.record import PathVerdict
from search_cluster.protocols.counters import EvaluatorStats, SearchCounts
from search_cluster.tasks.example import Example
from search_cluster.workers.group.suspects import Break


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """An example to search, with the verdicts that an earlier invocation left in the corpus."""

    example: Example
    known: tuple[PathVerdict, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOrder:
    """What a coordinator is told for one step."""

    workers: tuple[ReadyWorker, ...] = ()
    """They are its own from now on."""
    leases: tuple[Lease, ...] = ()
    more: bool
    """Whether there are examples left to lease: then a step ends as soon as workers lack work."""
    duration_s: float
    """How long the step lasts at most; it takes a little longer if many results arrive at its
    end."""
    idle_s: float
    """How long a worker has had nothing to do when it is given back, once no example is left to
    begin."""
    closed_nodes: frozenset[str] = frozenset()
    """Nodes, by Ray's names, whose workers get no more work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What a coordinator says after a step; counters are totals since it was started."""

    pid: int
    """The number of the coordinator's process."""
    records: tuple[PackedRecord, ...]
    """Those of the examples that ended in this step."""
    delivered: SearchCounts
    settled: SearchCounts
    """The part of `delivered` that belongs to examples that have ended."""
    stats: EvaluatorStats
    num_workers: int
    """Workers that it has."""
    lost: tuple[LostWorker, ...]
    """Workers that it lost in this step, or whose nodes get no more work."""
    num_wanted: int
    """Examples that it could start in the next steps beyond those that it has."""
    busy: bool
    """Whether it has anything to do."""
    messages: tuple[str, ...] = ()
    """Warnings that were logged there in this step."""
    let_go: tuple[WorkerHandle, ...] = ()
    """Workers that it needs no more."""
    breaks: tuple[Break, ...] = ()
    """Failures of devices for which no request is to blame."""
