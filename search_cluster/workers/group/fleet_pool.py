"""A group of workers and the fleet that they come from, as one pool."""

import time
from collections.abc import Sequence
from typing import Generic, Protocol

from search_cluster.errors import EvaluatorError
from search_cluster.protocols.counters import EvaluatorStats
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult
from search_cluster.workers.group.base_group import BaseGroup
from search_cluster.workers.group.suspects import Break
from search_cluster.workers.group.worker import H, Lost, Ready
from search_cluster.workers.messages import WorkerInfo

LOOK_S = 1.0
"""Seconds between two looks for workers that joined."""


class Fleet(Protocol[H]):
    """Owns workers: starts them, and others in their places when they are lost."""

    @property
    def num_workers(self) -> int:
        """Workers of the run, whether they are there or not."""
        ...

    @property
    def num_awaited(self) -> int:
        """Workers that may become ready yet."""
        ...

    @property
    def closed_nodes(self) -> frozenset[str]:
        """Places that get no more work; workers there end what they have, and leave."""
        ...

    def wait(self) -> WorkerInfo:
        """Wait for the first workers; what they all say of their model and their arithmetic."""
        ...

    def ready(self) -> list[Ready[H]]:
        """Workers that became ready since the last call, or came back; does not wait."""
        ...

    def lost(self, worker: Lost[H]) -> None:
        """Wait for a worker that left whoever gave it work."""
        ...

    def count_break(self, failure: Break) -> None:
        """Note that a device failed and that no request is to blame."""
        ...

    def missing(self) -> str:
        """Which workers are not there, and why, in one line."""
        ...

    def close(self) -> None:
        """End the workers. Idempotent."""
        ...


class FleetPool(Generic[H]):
    """Implements `PathEvaluator` over the workers of a fleet, which it owns.

    Workers that are late join while it collects.

    Args:
        fleet: of workers that were just asked for.
        group: gives them work.
        placement_timeout_s: how long to wait for a worker to be back when all are lost.

    Raises:
        SearchClusterError: what building a worker raises.
    """

    def __init__(self, fleet: Fleet[H], group: BaseGroup[H], *, placement_timeout_s: float) -> None:
        self._fleet = fleet
        self._group = group
        self._placement_timeout_s = placement_timeout_s
        self._last_look_s = self._alone_since_s = time.monotonic()
        try:
            self.info: WorkerInfo = fleet.wait()
        except BaseException:
            self.close()
            raise
        self._look()

    def _look(self) -> None:
        """Let workers join that became ready, and wait for those that died to be back."""
        self._last_look_s = time.monotonic()
        self._group.close_nodes(self._fleet.closed_nodes)
        for failure in self._group.take_breaks():
            self._fleet.count_break(failure)
        for lost in self._group.take_lost():
            self._fleet.lost(lost)
        for ready in self._fleet.ready():
            self._group.join(ready)
        if len(self._group):
            self._alone_since_s = self._last_look_s
        elif (
            not self._fleet.num_awaited
            or self._last_look_s - self._alone_since_s > self._placement_timeout_s
        ):
            raise EvaluatorError(
                f"no worker is left: {self._fleet.missing()}; nothing found is lost: run the same "
                "command again"
            )

    @property
    def num_workers(self) -> int:
        """Workers that were asked for, whether they are there or not."""
        return self._fleet.num_workers

    @property
    def max_in_flight(self) -> int:
        """Requests that keep all workers busy that have joined."""
        return self._group.max_in_flight

    def submit(self, requests: Sequence[EvaluationRequest]) -> None:
        """Queue requests and fill idle workers."""
        self._group.submit(requests)

    def collect(self, timeout_s: float | None = None) -> list[EvaluationResult]:
        """Results of the batches that are ready; waits for the first.

        Raises:
            EvaluatorError: workers die one after another, or none comes back.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = (
                LOOK_S
                if deadline_s is None
                else min(LOOK_S, max(0.0, deadline_s - time.monotonic()))
            )
            results = self._group.collect(left_s)
            if not results or time.monotonic() - self._last_look_s >= LOOK_S:
                self._look()
            in_flight = self._group.stats().num_in_flight if not results else 0
            if (
                results
                or not in_flight
                or (deadline_s is not None and time.monotonic() >= deadline_s)
            ):
                return results

    def stats(self) -> EvaluatorStats:
        """Counters since the pool was built."""
        return self._group.stats()

    def close(self) -> None:
        """End the workers, which frees their devices. Idempotent."""
        self._group.close()
        self._fleet.close()
