"""The Ray actor of a coordinator: hosts a partition, and gives it time in steps.

The driver has two steps in flight, so that the next one follows at once; all is done by one thread,
in order.
"""

import logging
import os
import time
from collections import deque

from search_cluster.cluster.coordinators.messages import StepOrder, StepReport
from search_cluster.cluster.coordinators.partition import Partition, PartitionFactory
from search_cluster.cluster.coordinators.record_wire import pack_record
from search_cluster.cluster.worker_group import WorkerGroup
from search_cluster.search.coordinator import Coordinator

MIN_STEP_S = 0.02
"""A step that ends early for want of examples lasts so long, so that an idle coordinator does not
spin."""
MAX_WAIT_S = 0.1
"""How long a step waits for results before it looks at its time."""
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
        self._workers = WorkerGroup(requests_per_batch, worker_timeout_s)
        self._partition: Partition | None = None
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
        records = []
        while coordinator.busy and len(self._workers) and (left_s := end_s - time.monotonic()) > 0:
            records += coordinator.step(min(left_s, MAX_WAIT_S))
            has_lasted = time.monotonic() - started_s > MIN_STEP_S
            # Before the end: the driver has more examples, and workers wait for them.
            if order.more and self._has_room(coordinator) and has_lasted:
                break
        num_started = waiting_before - coordinator.num_waiting
        self._workers.close_nodes(order.closed_nodes)
        # What is left begins nothing new, so that a worker without work will get none.
        is_tail = not (order.more or coordinator.num_waiting)
        let_go = self._workers.let_go_idle(order.idle_s) if is_tail else []
        return StepReport(
            pid=os.getpid(),
            records=tuple(map(pack_record, records)),
            delivered=coordinator.delivered,
            settled=coordinator.settled,
            stats=partition.evaluator.stats(),
            num_workers=len(self._workers),
            lost=tuple(self._workers.take_lost()),
            let_go=tuple(let_go),
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

    def close(self) -> tuple[str, ...]:
        """Let the partition write what waits; the warnings since the last step. Idempotent."""
        if self._partition is not None:
            self._partition.close()
        return self._messages.take()
