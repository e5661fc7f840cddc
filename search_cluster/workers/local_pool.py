"""The in-process pool: threads over one model, no Ray; for debugging, tests and small runs."""

import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from search_cluster.errors import DeviceBrokenError, EvaluatorError, in_one_line
from search_cluster.protocols.counters import EvaluatorStats
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult
from search_cluster.workers.batch_size import (
    BATCHES_PER_WORKER,
    MAX_REQUESTS,
    WORTH_WAITING_S,
    BatchSize,
)
from search_cluster.workers.device_groups import first_devices
from search_cluster.workers.dispatch import Dispatcher
from search_cluster.workers.messages import (
    BatchReport,
    WorkerInfo,
    WorkerSpec,
    require_alike,
)
from search_cluster.workers.path_worker import PathWorker
from search_cluster.workers.shared_model import workers_of_one_model
from search_cluster.workers.tally import Tally


class LocalPool:
    """Implements `PathEvaluator` with ``num_workers`` workers that share one frozen model.

    Where a model's layers are on several devices, each group of so many has a model of its own, and
    as many workers as the others. Each worker has states of its own, and threads for the batches
    that it evaluates at the same time.

    Args:
        spec: what every worker builds.
        num_workers: how many.
        requests_per_batch: requests that a thread takes together at most; ``None``: as many as its
            worker is fast with, see `search_cluster.workers.batch_size`.

    Raises:
        DeviceBrokenError: the device is broken.
        EvaluatorError: groups of devices compute unlike each other.
        ModelError: the model can't be loaded.
        TaskError: the task is unknown.
    """

    def __init__(
        self, spec: WorkerSpec, *, num_workers: int = 1, requests_per_batch: int | None = None
    ) -> None:
        workers = _workers_of(spec, num_workers)
        self.info: WorkerInfo = workers[0].info
        self._sizes = [BatchSize(requests_per_batch) for _ in workers]
        self._dispatcher = Dispatcher[EvaluationRequest](lambda request: request.example.example_id)
        for number in range(num_workers):
            self._dispatcher.join(number)
        self._changed = threading.Condition()
        """Guards the dispatcher, the sizes, the numbers of batches and `_closed`."""
        self._num_batches = [0] * num_workers
        """Batches that run, by worker."""
        self._closed = False
        self._done: queue.SimpleQueue[tuple[int, BatchReport | BaseException]] = queue.SimpleQueue()
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
                target=self._work,
                args=(number, worker),
                name=f"path-worker-{number}-{batch}",
                daemon=True,
            )
            for number, worker in enumerate(workers)
            for batch in range(BATCHES_PER_WORKER)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self, number: int, worker: PathWorker) -> None:
        while batch := self._next_batch(number):
            try:
                report = worker.evaluate(batch)
            except DeviceBrokenError as error:
                self._done.put((number, error))
                return
            except BaseException as error:  # whoever waits for the results must hear of it
                self._done.put((number, error))
                raise
            with self._changed:
                self._num_batches[number] -= 1
                self._sizes[number].learn(
                    len(batch), sum(result.device_busy_s for result in report.results)
                )
            self._done.put((number, report))

    def _next_batch(self, number: int) -> list[EvaluationRequest]:
        """Wait for work; none is left when the pool is closed."""
        with self._changed:
            if self._has_time(number):
                self._changed.wait(WORTH_WAITING_S)
            while True:
                batch = self._dispatcher.next_batch(
                    number, self._sizes[number].value, take_over=not self._num_batches[number]
                )
                if batch or self._closed:
                    self._num_batches[number] += 1
                    return batch
                self._changed.wait()

    def _has_time(self, number: int) -> bool:
        """Whether a worker's next batch had better wait for more requests."""
        size = self._sizes[number]
        num_waiting = self._dispatcher.num_waiting(number)
        return size.is_worth_waiting and num_waiting < size.value and not self._closed

    @property
    def max_in_flight(self) -> int:
        """Requests of all batches that run at the same time."""
        with self._changed:
            return BATCHES_PER_WORKER * sum(size.value for size in self._sizes)

    def submit(self, requests: Sequence[EvaluationRequest]) -> None:
        """Queue requests for the threads."""
        self._num_in_flight += len(requests)
        with self._changed:
            self._dispatcher.add(requests)
            self._changed.notify_all()

    def collect(self, timeout_s: float | None = None) -> list[EvaluationResult]:
        """All results that are ready; waits for the first.

        Raises:
            DeviceBrokenError: the device is broken, and with it all that this process could do on
                it; nothing of the batches that ran counts.
            EvaluatorError: code of the task ended a thread, as ``sys.exit`` does.
        """
        reports: list[tuple[int, BatchReport | BaseException]] = []
        if self._num_in_flight:
            with suppress(queue.Empty):
                reports.append(self._done.get(timeout=timeout_s))
        while reports and not self._done.empty():
            reports.append(self._done.get())
        results: list[EvaluationResult] = []
        for number, report in reports:
            if isinstance(report, DeviceBrokenError):
                raise DeviceBrokenError(
                    f"{report}; nothing found is lost: run the same command again, which starts "
                    "the device anew, or elsewhere (--device cpu, or --ray with more nodes) if it "
                    "breaks again"
                ) from report
            if isinstance(report, BaseException):
                raise EvaluatorError(
                    f"a worker's thread was ended by {type(report).__name__}: "
                    f"{in_one_line(report)}; nothing found is lost: if the task's code exits, mend "
                    "it, then run the same command again"
                ) from report
            self._tally.add(number, report.results, report.work, report.reading)
            results += report.results
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
                for number in range(len(self._sizes))
            ):
                pass
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._tally.stop()


def _workers_of(spec: WorkerSpec, num_workers: int) -> list[PathWorker]:
    """Workers in turn on each group of devices; those of a group share its model."""
    firsts = first_devices(spec.device, spec.devices_per_worker, num_workers)
    # Of seven workers on two groups four share one, and plans are made for four.
    of_group = -(-num_workers // len(firsts))
    spec = replace(spec, workers_per_gpu=of_group, shares_weights=True)
    groups: list[list[PathWorker]] = []
    for place, first in enumerate(firsts):
        log = groups[0][0].failure_log if groups else None
        num_of_group = len(range(place, num_workers, len(firsts)))
        groups.append(workers_of_one_model(replace(spec, device=first), num_of_group, log))
    if len(groups) > 1:
        require_alike([group[0].info for group in groups])
    return [groups[number % len(groups)][number // len(groups)] for number in range(num_workers)]
