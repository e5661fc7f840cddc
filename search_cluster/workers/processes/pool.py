"""The pool of worker processes: what a search without Ray runs on where devices may break."""

from collections.abc import Sequence
from typing import Any

from search_cluster.errors import EvaluatorError
from search_cluster.workers.group.base_group import BaseGroup
from search_cluster.workers.group.fleet_pool import FleetPool
from search_cluster.workers.group.joined_worker import JoinedWorker
from search_cluster.workers.messages import BatchReport
from search_cluster.workers.processes.fleet import ProcessFleet, ProcessHandle
from search_cluster.workers.processes.process import receive_from
from search_cluster.workers.wire import unpack_report


class ProcessGroup(BaseGroup[ProcessHandle]):
    """Implements `PathEvaluator` over worker processes that others own."""

    where_to_look = "dmesg may tell the cause"

    def _wait(self, refs: Sequence[Any], timeout_s: float) -> Sequence[Any]:
        if all(call.answer is None for call in refs):
            receive_from({call.process for call in refs}, timeout_s)
        return [call for call in refs if call.answer is not None]

    def _report(self, ref: Any, worker: JoinedWorker[ProcessHandle]) -> BatchReport:
        if isinstance(ref.answer, EvaluatorError):
            raise EvaluatorError(
                f"{ref.answer}; nothing found is lost: mend the cause, then run the same command "
                "again"
            ) from ref.answer
        if isinstance(ref.answer, Exception):
            raise ref.answer
        return unpack_report(ref.answer)

    def _kill(self, handle: ProcessHandle) -> None:
        handle.process.kill("it did not answer, or answered what is wrong, and was killed")


class ProcessPool(FleetPool[ProcessHandle]):
    """Implements `PathEvaluator` with workers in processes, which are replaced when they break.

    Args:
        fleet: of processes that were not started yet.
        requests_per_batch: requests sent together at most; ``None``: as many as each worker is
            fast with, see `search_cluster.workers.batch_size`.
        placement_timeout_s: how long to wait for a worker to be back when all are lost.
        worker_timeout_s: how long a worker may take for a batch; then it is taken for hung.

    Raises:
        SearchClusterError: what building a worker raises.
    """

    def __init__(
        self,
        fleet: ProcessFleet,
        *,
        requests_per_batch: int | None,
        placement_timeout_s: float,
        worker_timeout_s: float,
    ) -> None:
        group = ProcessGroup(requests_per_batch, worker_timeout_s)
        super().__init__(fleet, group, placement_timeout_s=placement_timeout_s)
