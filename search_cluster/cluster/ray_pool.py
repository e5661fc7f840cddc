"""The Ray pool: one actor per device, driven from this process."""

import math
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import ray

from search_cluster.cluster.fleet_actors import other_nodes
from search_cluster.cluster.worker_actor import PathWorkerActor
from search_cluster.cluster.worker_fleet import WorkerFleet
from search_cluster.cluster.worker_group import WorkerGroup
from search_cluster.cluster.worker_handle import ReadyWorker, WorkerHandle
from search_cluster.errors import EvaluatorError
from search_cluster.protocols.counters import EvaluatorStats
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult
from search_cluster.workers.messages import WorkerInfo, WorkerSpec

UNLIMITED_RESTARTS = -1
"""Restarts of an actor. They are bounded all the same: no request loses more workers than
`search_cluster.cluster.group.suspects` allows, but for those that go with their nodes."""
LOOK_S = 1.0
"""Seconds between two looks for workers that joined."""


def ask_for_workers(
    spec: WorkerSpec,
    *,
    num_workers: int,
    num_gpus_per_worker: float = 0,
    placement_timeout_s: float = 600.0,
    room: Callable[[], int] | None = None,
) -> WorkerFleet:
    """Ask Ray for workers of real models; `search_cluster.cluster.session.connect_ray` comes first.

    Args:
        spec: what every worker builds.
        num_workers: how many actors, each with one device.
        num_gpus_per_worker: 1 on GPUs, less where workers share one, more where a worker's layers
            share several, 0 on CPUs.
        placement_timeout_s: how long to wait for the first one to be placed and to load its model.
        room: as `WorkerFleet` takes it.
    """
    place = {
        "num_cpus": spec.num_threads,
        "num_gpus": num_gpus_per_worker,
        "enable_task_events": False,
    }
    actor_class = ray.remote(PathWorkerActor)

    def make(worker: int, *, lasting: bool, avoid: Collection[str]) -> Any:
        restarts = UNLIMITED_RESTARTS if lasting else 0
        actor = actor_class.options(
            max_restarts=restarts, label_selector=other_nodes(avoid), **place
        )
        return actor.remote(spec)

    workers = [
        WorkerHandle(number=number, actor=make(number, lasting=True, avoid=()))
        for number in range(num_workers)
    ]
    needs = f"{spec.num_threads} CPU" + (
        f", {num_gpus_per_worker:g} GPU" if num_gpus_per_worker else ""
    )
    return WorkerFleet(
        workers, needs=needs, placement_timeout_s=placement_timeout_s, make=make, room=room
    )


class RayPool:
    """Implements `PathEvaluator` over the workers of a fleet, which it owns.

    Workers that are late join while it collects.

    Args:
        fleet: of workers that were just asked for.
        requests_per_batch: as `WorkerGroup` takes it.
        placement_timeout_s: how long to wait for a worker to be back when all are lost.
        worker_timeout_s: as `WorkerGroup` takes it.

    Raises:
        EvaluatorError: the cluster can't place one worker in time, or they hold different models.
        ModelError: the model can't be loaded (or `TaskError`, and so on: what building a worker
            raises).
    """

    def __init__(
        self,
        fleet: WorkerFleet,
        *,
        requests_per_batch: int | None = None,
        placement_timeout_s: float = 600.0,
        worker_timeout_s: float = math.inf,
    ) -> None:
        self.fleet = fleet
        self._placement_timeout_s = placement_timeout_s
        self._group = WorkerGroup(requests_per_batch, worker_timeout_s)
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
        self._group.close_nodes(self.fleet.closed_nodes)
        for failure in self._group.take_breaks():
            self.fleet.count_break(failure)
        for lost in self._group.take_lost():
            self.fleet.lost(lost)
        for ready in self.fleet.ready():
            self._group.join(ready)
        if len(self._group):
            self._alone_since_s = self._last_look_s
        elif (
            not self.fleet.num_awaited
            or self._last_look_s - self._alone_since_s > self._placement_timeout_s
        ):
            raise EvaluatorError(
                f"no worker is left: {self.fleet.missing()}; nothing found is lost: run the same "
                "command again"
            )

    @property
    def num_workers(self) -> int:
        """Workers that were asked for, whether they are there or not."""
        return self.fleet.num_workers

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

    def release(self) -> tuple[WorkerFleet, list[ReadyWorker]]:
        """Hand the workers over to others; nothing is in flight, and the pool still closes them."""
        self._look()
        return self.fleet, self._group.release()

    def stats(self) -> EvaluatorStats:
        """Counters since the pool was built."""
        return self._group.stats()

    def close(self) -> None:
        """Kill the actors, which frees their devices. Idempotent."""
        self._group.close()
        self.fleet.close()
