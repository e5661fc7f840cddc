"""The workers of one process that drives searches on a cluster."""

from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from search_cluster.cluster.losses import STORE_ERRORS, loss_of, store_is_full
from search_cluster.cluster.worker_handle import WorkerHandle
from search_cluster.workers.group.base_group import BaseGroup
from search_cluster.workers.group.joined_worker import JoinedWorker
from search_cluster.workers.group.suspects import Queued
from search_cluster.workers.group.worker import WorkerLostError
from search_cluster.workers.messages import BatchReport
from search_cluster.workers.wire import unpack_report


class WorkerGroup(BaseGroup[WorkerHandle]):
    """Implements `PathEvaluator` over actors that others own; this process is connected to Ray."""

    where_to_look = "look at Ray's logs for the cause"

    def _send(self, worker: JoinedWorker[WorkerHandle], items: list[Queued]) -> None:
        try:
            super()._send(worker, items)
        except STORE_ERRORS as error:  # a large batch goes through the store
            raise store_is_full(error, "this node") from error

    def _wait(self, refs: Sequence[Any], timeout_s: float) -> Sequence[Any]:
        ready, others = ray.wait(list(refs), num_returns=1, timeout=timeout_s)
        if others and ready:
            ready += ray.wait(others, num_returns=len(others), timeout=0)[0]
        return list(ready)

    def _report(self, ref: Any, worker: JoinedWorker[WorkerHandle]) -> BatchReport:
        try:
            return unpack_report(ray.get(ref))
        except RayError as error:
            raise WorkerLostError(*loss_of(error, worker.info)) from error

    def _kill(self, handle: WorkerHandle) -> None:
        ray.kill(handle.actor, no_restart=False)
