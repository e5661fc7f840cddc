"""The Ray actor of a coordinator: hosts a partition, and gives it time in steps.

The driver has two steps in flight, so that the next one follows at once; all is done by one thread, in order.
"""

import logging
import os
import time
from collections import deque

from search_cluster.cluster.partition import Partition, PartitionFactory, StepOrder, StepReport
from search_cluster.cluster.record_wire import pack_record
from search_cluster.cluster.worker_group import WorkerGroup

MIN_STEP_S = 0.02
"""A step that ends early for want of examples lasts so long, so that an idle coordinator does not spin."""
MAX_WAIT_S = 0.1
"""For results, before a step looks at its time."""


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
        replacing: whether it is there in the place of one that did this work before.
    """

    def __init__(self, factory: PartitionFactory, requests_per_batch: int | None, *, replacing: bool) -> None:
        self._factory = factory
        self._replacing = replacing
        self._group = WorkerGroup(requests_per_batch)
        self._partition: Partition | None = None
        self._messages = _Messages()
        logging.getLogger("search_cluster").addHandler(self._messages)

    def step(self, order: StepOrder) -> StepReport:
        """Go on with the searches for a while.

        Raises:
            SearchClusterError: the cache server is not as it must be, or evaluators die one after another.
        """
        if self._partition is None:  # Not in __init__: an error there would reach the driver without its type.
            self._partition = self._factory.build(self._group, replacing=self._replacing)
        partition = self._partition
        started_s = time.monotonic()
        end_s = started_s + order.duration_s
        for ready in order.evaluators:
            self._group.join(ready)
        partition.add(order.leases)
        waiting_before = partition.num_waiting
        records = []
        while partition.busy and len(self._group) and (left_s := end_s - time.monotonic()) > 0:
            records += partition.step(min(left_s, MAX_WAIT_S))
            if order.more and self._has_room(partition) and time.monotonic() - started_s > MIN_STEP_S:
                break
        num_started = waiting_before - partition.num_waiting
        return StepReport(
            pid=os.getpid(),
            records=tuple(map(pack_record, records)),
            delivered=partition.delivered,
            settled=partition.settled,
            stats=partition.stats(),
            num_evaluators=len(self._group),
            lost=tuple(self._group.take_lost()),
            num_wanted=self._num_wanted(partition, num_started),
            busy=partition.busy,
            messages=self._messages.take(),
        )

    def _has_room(self, partition: Partition) -> bool:
        return not partition.num_waiting and partition.num_in_flight < self._group.max_in_flight

    def _num_wanted(self, partition: Partition, num_started: int) -> int:
        """Twice what the last step started, or what it takes to fill the evaluators: a new example asks one path."""
        room = self._group.max_in_flight - partition.num_in_flight
        return max(0, max(2 * num_started, room) - partition.num_waiting)

    def close(self) -> tuple[str, ...]:
        """Let the partition write what waits; the warnings that were logged since the last step. Idempotent."""
        if self._partition is not None:
            self._partition.close()
        return self._messages.take()
