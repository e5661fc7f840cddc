"""The Ray pool: one actor per device, driven from this process."""

import math
from collections.abc import Callable, Collection
from typing import Any

import ray

from search_cluster.cluster.fleet_actors import other_nodes
from search_cluster.cluster.worker_actor import PathWorkerActor
from search_cluster.cluster.worker_fleet import WorkerFleet
from search_cluster.cluster.worker_group import WorkerGroup
from search_cluster.cluster.worker_handle import ReadyWorker, WorkerHandle
from search_cluster.workers.group.fleet_pool import FleetPool
from search_cluster.workers.messages import WorkerSpec

UNLIMITED_RESTARTS = -1
"""Restarts of an actor. They are bounded all the same: no request loses more workers than
`search_cluster.workers.group.suspects` allows, but for those that go with their nodes."""


def ask_for_workers(
    spec: WorkerSpec,
    *,
    num_workers: int,
    num_gpus_per_worker: float = 0,
    placement_timeout_s: float = 600.0,
    worker_timeout_s: float = math.inf,
    room: Callable[[], int] | None = None,
) -> WorkerFleet:
    """Ask Ray for workers of real models; `search_cluster.cluster.session.connect_ray` comes first.

    Args:
        spec: what every worker builds.
        num_workers: how many actors, each with one device.
        num_gpus_per_worker: 1 on GPUs, less where workers share one, more where a worker's layers
            share several, 0 on CPUs.
        placement_timeout_s: how long to wait for the first one to be placed and to load its model.
        worker_timeout_s: as `WorkerFleet` takes it.
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
        workers,
        needs=needs,
        resource="GPU" if num_gpus_per_worker else "CPU",
        placement_timeout_s=placement_timeout_s,
        worker_timeout_s=worker_timeout_s,
        make=make,
        room=room,
    )


class RayPool(FleetPool[WorkerHandle]):
    """Implements `PathEvaluator` over the workers of a fleet, which it owns.

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
        group = WorkerGroup(requests_per_batch, worker_timeout_s)
        super().__init__(fleet, group, placement_timeout_s=placement_timeout_s)

    def release(self) -> tuple[WorkerFleet, list[ReadyWorker]]:
        """Hand the workers over to others; nothing is in flight, and the pool still closes them."""
        self._look()
        return self.fleet, self._group.release()
