"""The workers of one process that drives searches: they join, hold a few batches each, and leave.

Evaluation is idempotent, so a request whose worker died is simply sent again, a bounded number of
times: with few others, then alone, so that a request which kills its worker takes no other with it.
"""

import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from search_cluster.cluster.joined_worker import (
    MAX_ATTEMPTS,
    JoinedWorker,
    Queued,
    suspected,
)
from search_cluster.cluster.worker_handle import ReadyWorker, WorkerHandle
from search_cluster.errors import EvaluatorError, in_one_line
from search_cluster.protocols.counters import EvaluatorStats
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.workers.batch_size import BATCHES_PER_WORKER, BatchSize
from search_cluster.workers.dispatch import Dispatcher
from search_cluster.workers.tally import Tally
from search_cluster.workers.wire import LinkBrokenError, unpack_report

MAX_LOSSES_IN_A_ROW = 12
"""Workers lost without one result in between, beyond one each: then it is not the requests that
kill them."""


class WorkerGroup:
    """Implements `PathEvaluator` over workers that others own; this process is connected to Ray.

    Args:
        requests_per_batch: requests sent together at most; ``None``: as many as each worker is
            fast with, see `search_cluster.workers.batch_size`.
    """

    def __init__(self, requests_per_batch: int | None = None) -> None:
        self._requests_per_batch = requests_per_batch
        self._workers: dict[int, JoinedWorker] = {}
        self._waiting: dict[Any, JoinedWorker] = {}
        self._dispatcher = Dispatcher[Queued](
            lambda item: item.request.example.example_id,
            lambda number: self._workers[number].num_running,
        )
        self._suspects = deque[list[Queued]]()
        """Batches of requests that may have killed a worker."""
        self._lost: list[WorkerHandle] = []
        self._losses_in_a_row = 0
        self._num_in_flight = 0
        self._tally = Tally()

    def __len__(self) -> int:
        return len(self._workers)

    def join(self, ready: ReadyWorker) -> None:
        """Give a worker work from now on."""
        number = ready.handle.number
        self._workers[number] = JoinedWorker(
            ready.handle, ready.info, BatchSize(self._requests_per_batch)
        )
        self._dispatcher.join(number)
        self._tally.hold(
            number,
            node=ready.info.node,
            device=ready.info.device,
            share=ready.info.device_share,
            held_s=ready.held_s,
        )
        self._dispatch()

    def take_lost(self) -> list[WorkerHandle]:
        """Workers that died and left since the last call; they join again when they are back."""
        lost, self._lost = self._lost, []
        return lost

    def release(self) -> list[ReadyWorker]:
        """Let all workers go, to give them to others; nothing is in flight."""
        released = [
            ReadyWorker(handle=worker.handle, info=worker.info, held_s=0.0)
            for worker in self._workers.values()
        ]
        for number in list(self._workers):
            self._leave(number)
        return released

    @property
    def max_in_flight(self) -> int:
        """Requests of all batches that may be in flight; at least 1, so that callers start."""
        return max(
            1, BATCHES_PER_WORKER * sum(worker.size.value for worker in self._workers.values())
        )

    def submit(self, requests: Sequence[EvaluationRequest]) -> None:
        """Queue requests and fill idle workers."""
        self._num_in_flight += len(requests)
        self._dispatcher.add(Queued(request) for request in requests)
        self._dispatch()

    def _dispatch(self, *, patient: bool = False) -> None:
        """Send batches, the idlest worker first, until all are full or nothing waits.

        Args:
            patient: whether more requests are about to come; then no batch that is not full goes
                where `BatchSize.is_worth_waiting`.
        """
        # In rounds: all workers get a first batch before any gets a second one, so that few
        # requests keep many devices busy.
        for num_batches in range(BATCHES_PER_WORKER):
            for number, worker in self._workers.items():
                if not (self._suspects or self._dispatcher):
                    return
                if (
                    len(worker.batches) == num_batches
                    and not self._waits(number, worker, patient=patient)
                    and (items := self._next_items(number, worker))
                ):
                    ref = worker.handle.evaluate(worker.link.pack([item.request for item in items]))
                    worker.batches[ref] = items
                    self._waiting[ref] = worker

    def _waits(self, number: int, worker: JoinedWorker, *, patient: bool) -> bool:
        """Whether a worker's next batch had better be sent later."""
        if worker.batches and (self._suspects or worker.is_trying_suspects):
            return True  # suspects run in nobody's company, so workers make room for them
        if self._suspects or not worker.size.is_worth_waiting:
            return False
        num_waiting = self._dispatcher.num_waiting(number)
        if patient:
            return num_waiting < worker.size.value
        # It would join the batch that runs; a small one would keep those that come later from it.
        return bool(worker.batches) and num_waiting < worker.size.value / 2

    def _next_items(self, number: int, worker: JoinedWorker) -> list[Queued]:
        """A batch; requests that may have killed a worker share it with nobody else."""
        if self._suspects:
            return self._suspects.popleft()
        return self._dispatcher.next_batch(number, worker.size.value, take_over=not worker.batches)

    def collect(self, timeout_s: float | None = None) -> list[EvaluationResult]:
        """Results of all batches that are ready; waits for the first, as long as workers have any.

        Without workers it waits for the time-out and returns nothing.

        Raises:
            EvaluatorError: workers die one after another, or one refuses its batches.
        """
        self._dispatch()
        results: list[EvaluationResult] = []
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not results:
            left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            if not self._waiting:
                if self._num_in_flight and left_s:
                    time.sleep(left_s)
                break
            ready, others = ray.wait(list(self._waiting), num_returns=1, timeout=left_s)
            if not ready:
                break
            if others:
                ready += ray.wait(others, num_returns=len(others), timeout=0)[0]
            for ref in ready:
                # If its worker died in this very loop, its requests are queued again: to take this
                # result, too, would answer them twice.
                if ref in self._waiting:
                    results += self._take(ref)
            self._dispatch(patient=bool(results))
        self._num_in_flight -= len(results)
        return results

    def _take(self, ref: Any) -> list[EvaluationResult]:
        """The results of a batch.

        If its worker died, they are the failures of the requests that are given up.
        """
        worker = self._waiting[ref]
        try:
            report = unpack_report(ray.get(ref))
        except RayTaskError as error:
            if isinstance(error.cause, LinkBrokenError):  # it was restarted while it was idle
                return self._lose(worker, error, was_busy=False)
            raise EvaluatorError(
                f"a worker on {worker.info.node} refused a batch: {in_one_line(error.cause)}; "
                "nothing found is lost: look at Ray's logs for the cause, then run the same "
                "command again"
            ) from error
        except RayError as error:
            # The actor died or can't be reached, or the result was lost with its node.
            return self._lose(worker, error, was_busy=True)
        del self._waiting[ref], worker.batches[ref]
        self._losses_in_a_row = 0
        worker.size.learn(
            len(report.results), sum(result.device_busy_s for result in report.results)
        )
        self._tally.add(worker.handle.number, report.results, report.work)
        return list(report.results)

    def _lose(
        self, worker: JoinedWorker, error: RayError, *, was_busy: bool
    ) -> list[EvaluationResult]:
        """Put all that was in flight on a dead worker back in front of the queue.

        Args:
            worker: the worker.
            error: what the call says.
            was_busy: whether its batches may have killed it, all of which were running; they did
                not if it died while it was idle.

        Raises:
            EvaluatorError: too many were lost in a row.
        """
        number = worker.handle.number
        self._tally.add_restart(number)
        self._losses_in_a_row += 1
        if self._losses_in_a_row > MAX_LOSSES_IN_A_ROW + len(self._workers):
            raise EvaluatorError(
                f"workers died {self._losses_in_a_row} times without one result in between "
                f"({in_one_line(error)}); nothing found is lost: look at Ray's logs for the cause, "
                "then run the same command again"
            ) from error
        batches = list(worker.batches.values())
        running = [item for batch in batches for item in batch] if was_busy else []
        self._leave(number)
        self._lost.append(worker.handle)
        for item in running:
            item.num_attempts += 1
        # Suspects share a batch with no others: what kills must be found out alone, and what does
        # not must not be given up with it.
        self._suspects += suspected(running)
        innocent = [] if was_busy else batches
        self._suspects += [batch for batch in innocent if batch[0].num_attempts]
        self._dispatcher.add_first(
            item for batch in innocent if not batch[0].num_attempts for item in batch
        )
        message = f"{MAX_ATTEMPTS} workers died of it: {in_one_line(error)}"
        given_up = [
            EvaluationResult(
                request_id=item.request.request_id,
                outcome=Failure(kind="WorkerDied", message=message),
            )
            for item in running
            if item.num_attempts >= MAX_ATTEMPTS
        ]
        self._tally.add(number, given_up)
        return given_up

    def _leave(self, number: int) -> None:
        worker = self._workers.pop(number)
        for ref in worker.batches:
            del self._waiting[ref]
        self._dispatcher.leave(number)
        self._tally.give_back(number)

    def stats(self) -> EvaluatorStats:
        """Counters since the group was made."""
        return self._tally.stats(num_in_flight=self._num_in_flight)

    def close(self) -> None:
        """Forget everything; the workers stay their owner's. Idempotent."""
        self._workers.clear()
        self._waiting.clear()
        self._tally.stop()
