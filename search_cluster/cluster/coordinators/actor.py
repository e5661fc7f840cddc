"""The Ray actor of a coordinator: hosts a partition, and gives it time in steps.

The driver has two steps in flight, so that the next one follows at once; all is done by one thread,
in order.
"""

import logging
import math
import os
import time
from collections import deque

from search_cluster.cluster.broken_actor import this_node_id
from search_cluster.cluster.coordinators.messages import ClosingReport, StepOrder, StepReport
from search_cluster.cluster.coordinators.partition import Partition, PartitionFactory
from search_cluster.cluster.coordinators.staffing import CoordinatorLoad
from search_cluster.cluster.worker_group import WorkerGroup
from search_cluster.protocols.counters import EvaluatorStats, SearchCounts
from search_cluster.search.coordinator import Coordinator

MIN_STEP_S = 0.02
"""A step that ends early for want of examples lasts so long, so that an idle coordinator does not
spin."""
MAX_WAIT_S = 0.1
"""How long a step waits for results before it looks at its time."""
STATS_S = 1.0
"""Seconds between two reports with counters of every worker, which cost the driver the most."""
MAX_MESSAGES = 20
"""Warnings of one step that reach the driver; all are in the actor's own log."""


class _Messages(logging.Handler):
    """Keeps the last warnings for the driver, whose log people read."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._texts = deque[str](maxlen=MAX_MESSAGES)

    def emit(self, record: logging.LogRecord) -> None:
        self._texts.append(record.getMessage())

    def take(self) -> tuple[str, ...]:
        taken = tuple(self._texts)
        self._texts.clear()
        return taken


class CoordinatorActor:
    """Reached through its handle only.

    Args:
        factory: builds what it hosts.
        requests_per_batch: as `WorkerGroup` takes it.
        worker_timeout_s: as `WorkerGroup` takes it.
        replacing: whether it is there in the place of one that did this work before.
    """

    def __init__(
        self,
        factory: PartitionFactory,
        requests_per_batch: int | None,
        worker_timeout_s: float,
        *,
        replacing: bool,
    ) -> None:
        self._factory = factory
        self._replacing = replacing
        self._node_id = this_node_id()
        self._workers = WorkerGroup(requests_per_batch, worker_timeout_s)
        self._partition: Partition | None = None
        self._started_s = time.monotonic()
        self._stats_s = -math.inf
        self._num_told = 0
        self._messages = _Messages()
        logging.getLogger("search_cluster").addHandler(self._messages)

    def step(self, order: StepOrder) -> StepReport:
        """Go on with the searches for a while.

        Raises:
            SearchClusterError: the cache server is not as it must be, or workers die one after
                another.
        """
        # Not in __init__: an error there would reach the driver without its type.
        if self._partition is None:
            self._partition = self._factory.build(self._workers, replacing=self._replacing)
        partition, coordinator = self._partition, self._partition.coordinator
        started_s = time.monotonic()
        end_s = started_s + order.duration_s
        for ready in order.workers:
            self._workers.join(ready)
        self._workers.close_nodes(order.closed_nodes)
        partition.add(order.leases)
        waiting_before = coordinator.num_waiting
        while coordinator.busy and len(self._workers) and (left_s := end_s - time.monotonic()) > 0:
            for ended in coordinator.counted_step(min(left_s, MAX_WAIT_S)):
                partition.shards.add(ended)
            has_lasted = time.monotonic() - started_s > MIN_STEP_S
            # Before the end: the driver has more examples, and workers wait for them.
            if order.more and self._has_room(coordinator) and has_lasted:
                break
        num_started = waiting_before - coordinator.num_waiting
        self._workers.close_nodes(order.closed_nodes)
        # What is left begins nothing new, so that a worker without work will get none.
        is_tail = not (order.more or coordinator.num_waiting)
        let_go = self._workers.let_go_idle(order.idle_s) if is_tail else []
        num_workers = len(self._workers)
        excess = max(0, num_workers - (order.max_workers or num_workers))
        moved = self._workers.let_go_idle(0.0, at_most=excess)
        finished = partition.shards.take(everything=not (coordinator.busy or order.may_hold))
        stats = self._stats(partition)
        return StepReport(
            pid=os.getpid(),
            node_id=self._node_id,
            finished=finished,
            num_ended=partition.shards.num_ended,
            num_held=len(partition.shards),
            delivered=coordinator.delivered,
            settled=partition.shards.settled,
            stats=stats,
            load=None if stats is None else self._load(stats),
            num_workers=len(self._workers),
            lost=tuple(self._workers.take_lost()),
            let_go=tuple(let_go),
            moved=tuple(moved),
            breaks=tuple(self._workers.take_breaks()),
            num_wanted=self._num_wanted(coordinator, num_started),
            busy=coordinator.busy,
            messages=self._messages.take(),
        )

    def _has_room(self, coordinator: Coordinator) -> bool:
        no_example_waits = not coordinator.num_waiting
        return no_example_waits and coordinator.num_in_flight < self._workers.max_in_flight

    def _num_wanted(self, coordinator: Coordinator, num_started: int) -> int:
        """Examples that the next steps could start.

        They are twice those that the last step started, or what it takes to fill the workers: a new
        example asks for one path.
        """
        room = self._workers.max_in_flight - coordinator.num_in_flight
        return max(0, max(2 * num_started, room) - coordinator.num_waiting)

    def _stats(self, partition: Partition) -> EvaluatorStats | None:
        """The counters, if it is time to tell them, or the last time, or workers came or left."""
        now_s, num_workers = time.monotonic(), len(self._workers)
        is_due = now_s - self._stats_s >= STATS_S or num_workers != self._num_told
        if not is_due and partition.coordinator.busy:
            return None
        self._stats_s, self._num_told = now_s, num_workers
        return partition.evaluator.stats()

    def _load(self, stats: EvaluatorStats) -> CoordinatorLoad:
        return CoordinatorLoad(
            alive_s=time.monotonic() - self._started_s,
            cpu_s=time.process_time(),
            num_workers=len(self._workers),
            held_s=stats.device_held_s,
            busy_s=stats.device_busy_s,
        )

    def close(self) -> ClosingReport:
        """Let the partition write what waits; what it found since the last step. Idempotent."""
        shard, settled = None, SearchCounts()
        if self._partition is not None:
            shard = self._partition.shards.take(everything=True).shard
            settled = self._partition.shards.settled
            self._partition.close()
        return ClosingReport(shard=shard, settled=settled, messages=self._messages.take())
