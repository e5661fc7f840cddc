"""The in-process pool: threads over one model, no Ray; for debugging, tests and small runs."""

import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from search_cluster.protocols.counters import EvaluatorStats
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult
from search_cluster.workers.batch_size import MAX_REQUESTS, WORTH_WAITING_S, BatchSize
from search_cluster.workers.dispatch import Dispatcher
from search_cluster.workers.messages import BatchReport, WorkerInfo, WorkerSpec
from search_cluster.workers.path_worker import PathWorker
from search_cluster.workers.tally import Tally


class LocalPool:
    """Implements `PathEvaluator` with ``num_workers`` threads that share one frozen model.

    Each has states of its own.

    Args:
        spec: what every worker builds.
        num_workers: threads.
        requests_per_batch: requests that a thread takes together at most; ``None``: as many as it
            is fast with, see `search_cluster.workers.batch_size`.

    Raises:
        ModelError: the model can't be loaded.
        TaskError: the task is unknown.
    """

    def __init__(
        self, spec: WorkerSpec, *, num_workers: int = 1, requests_per_batch: int | None = None
    ) -> None:
        spec = replace(spec, workers_per_gpu=num_workers, shares_weights=True)
        first = PathWorker(spec)
        others = [
            PathWorker(spec, loaded=first.loaded, failure_log=first.failure_log)
            for _ in range(num_workers - 1)
        ]
        workers = [first, *others]
        self.info: WorkerInfo = first.info
        self._sizes = [BatchSize(requests_per_batch) for _ in workers]
        self._dispatcher = Dispatcher[EvaluationRequest](lambda request: request.example.example_id)
        for number in range(num_workers):
            self._dispatcher.join(number)
        self._changed = threading.Condition()  # guards the dispatcher, the sizes and `_closed`
        self._closed = False
        self._done: queue.SimpleQueue[tuple[int, BatchReport]] = queue.SimpleQueue()
        self._num_in_flight = 0
        self._tally = Tally()
        for number in range(num_workers):
            self._tally.hold(
                number,
                node=self.info.node,
                device=self.info.device,
                share=self.info.device_share,
            )
        self._threads = [
            threading.Thread(
                target=self._work, args=(number, worker), name=f"path-worker-{number}", daemon=True
            )
            for number, worker in enumerate(workers)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self, number: int, worker: PathWorker) -> None:
        while True:
            with self._changed:
                if self._has_time(number):
                    self._changed.wait(WORTH_WAITING_S)
                while not (batch := self._dispatcher.next_batch(number, self._sizes[number].value)):
                    if self._closed:
                        return
                    self._changed.wait()
            report = worker.evaluate(batch)
            with self._changed:
                self._sizes[number].learn(
                    len(batch), sum(result.device_busy_s for result in report.results)
                )
            self._done.put((number, report))

    def _has_time(self, number: int) -> bool:
        """Whether a thread's next batch had better wait for more requests."""
        size = self._sizes[number]
        num_waiting = self._dispatcher.num_waiting(number)
        return size.is_worth_waiting and num_waiting < size.value and not self._closed

    @property
    def max_in_flight(self) -> int:
        """Requests of two batches per thread: one runs, one waits."""
        with self._changed:
            return 2 * sum(size.value for size in self._sizes)

    def submit(self, requests: Sequence[EvaluationRequest]) -> None:
        """Queue requests for the threads."""
        self._num_in_flight += len(requests)
        with self._changed:
            self._dispatcher.add(requests)
            self._changed.notify_all()

    def collect(self, timeout_s: float | None = None) -> list[EvaluationResult]:
        """All results that are ready; waits for the first."""
        reports: list[tuple[int, BatchReport]] = []
        if self._num_in_flight:
            with suppress(queue.Empty):
                reports.append(self._done.get(timeout=timeout_s))
        while reports and not self._done.empty():
            reports.append(self._done.get())
        for number, report in reports:
            self._tally.add(number, report.results, report.work)
        results = [result for _, report in reports for result in report.results]
        self._num_in_flight -= len(results)
        return results

    def stats(self) -> EvaluatorStats:
        """Counters since the pool was built."""
        return self._tally.stats(num_in_flight=self._num_in_flight)

    def close(self) -> None:
        """Finish the batches that run, drop what waits. Idempotent."""
        with self._changed:
            self._closed = True
            while any(
                self._dispatcher.next_batch(number, MAX_REQUESTS)
                for number in range(len(self._threads))
            ):
                pass
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._tally.stop()
