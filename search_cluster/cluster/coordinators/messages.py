"""What the driver and a coordinator actor tell each other: leases, orders and reports."""

from dataclasses import dataclass

from search_cluster.cluster.coordinators.shard_maker import Finished
from search_cluster.cluster.coordinators.staffing import CoordinatorLoad
from search_cluster.cluster.worker_handle import LostWorker, ReadyWorker, WorkerHandle
from search_cluster.corpus.encoded_shard import EncodedShard
from search_cluster.corpus.record import PathVerdict
from search_cluster.protocols.counters import EvaluatorStats, SearchCounts
from search_cluster.tasks.example import Example
from search_cluster.workers.group.suspects import Break


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """An example to search, with the verdicts that an earlier invocation left in the corpus."""

    example: Example
    known: tuple[PathVerdict, ...] = ()
    is_written: bool = False
    """Whether its record lies in the corpus already: then it is searched for the counts alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOrder:
    """What a coordinator is told for one step."""

    workers: tuple[ReadyWorker, ...] = ()
    """They are its own from now on."""
    leases: tuple[Lease, ...] = ()
    more: bool
    """Whether there are examples left to lease: then a step ends as soon as workers lack work."""
    may_hold: bool
    """Whether records may wait for those of examples that are left to lease; else they are handed
    over as soon as nothing is searched."""
    duration_s: float
    """How long the step lasts at most; it takes a little longer if many results arrive at its
    end."""
    idle_s: float
    """How long a worker has had nothing to do when it is given back, once no example is left to
    begin."""
    max_workers: int | None = None
    """How many workers it keeps; it lets others go to other coordinators as they have nothing to
    do. ``None``: all."""
    closed_nodes: frozenset[str] = frozenset()
    """Nodes, by Ray's names, whose workers get no more work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What a coordinator says after a step; counters are totals since it was started."""

    pid: int
    """The number of the coordinator's process."""
    node_id: str = ""
    """Ray's name of the node that it runs on."""
    finished: Finished
    """What is handed over."""
    num_ended: int
    """Examples that have ended."""
    num_held: int
    """Those of them that wait there for others to make a shard. Not a counter."""
    delivered: SearchCounts
    settled: SearchCounts
    """The part of `delivered` that belongs to examples that were handed over."""
    stats: EvaluatorStats | None
    """``None``: much as in an earlier report, a moment ago."""
    load: CoordinatorLoad | None = None
    """Told with `stats`."""
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
    moved: tuple[WorkerHandle, ...] = ()
    """Workers that it let go to other coordinators."""
    breaks: tuple[Break, ...] = ()
    """Failures of devices for which no request is to blame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingReport:
    """The last that a coordinator says."""

    shard: EncodedShard | None = None
    """What waited there."""
    settled: SearchCounts
    """As `StepReport` has it."""
    messages: tuple[str, ...] = ()
    """As `StepReport` has them."""
