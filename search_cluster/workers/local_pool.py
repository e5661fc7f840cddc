"""The in-process pool: threads over one model, no Ray. The debugging backend, and what tests run on."""

import queue
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from search_cluster.evaluation.messages import EvaluationRequest, EvaluationResult, EvaluatorStats
from search_cluster.workers.path_worker import PathWorker, WorkerInfo, WorkerSpec
from search_cluster.workers.tally import Tally


class LocalPool:
    """Implements `PathEvaluator` with ``num_workers`` threads that share one frozen model.

    Raises:
        ModelError: the model can't be loaded.
        TaskError: the task is unknown.
    """

    def __init__(self, spec: WorkerSpec, *, num_workers: int = 1) -> None:
        self._worker = PathWorker(spec)
        self._num_workers = num_workers
        self._tally = Tally(num_devices=num_workers)
        self._threads = ThreadPoolExecutor(num_workers, thread_name_prefix="path-worker")
        self._done: queue.SimpleQueue[EvaluationResult] = queue.SimpleQueue()
        self._num_in_flight = 0

    @property
    def info(self) -> WorkerInfo:
        """Facts about the model that all workers hold."""
        return self._worker.info

    @property
    def max_in_flight(self) -> int:
        """Two requests per thread: one running, one waiting."""
        return 2 * self._num_workers

    def submit(self, requests: Sequence[EvaluationRequest]) -> None:
        """Queue requests on the threads."""
        for request in requests:
            self._num_in_flight += 1
            self._threads.submit(self._evaluate, request)

    def _evaluate(self, request: EvaluationRequest) -> None:
        for result in self._worker.evaluate([request]):
            self._done.put(result)

    def collect(self, timeout_s: float | None = None) -> list[EvaluationResult]:
        """All results that are ready; waits for the first."""
        results: list[EvaluationResult] = []
        if self._num_in_flight:
            with suppress(queue.Empty):
                results.append(self._done.get(timeout=timeout_s))
        while results and not self._done.empty():
            results.append(self._done.get())
        self._num_in_flight -= len(results)
        self._tally.add(results)
        return results

    def stats(self) -> EvaluatorStats:
        """Counters since the pool was built."""
        return self._tally.stats()

    def close(self) -> None:
        """Finish what runs, drop what waits."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._tally.stop()
