"""The workers of one process that drives searches: they join, hold a few batches each, and leave.

Evaluation is idempotent, so a request whose worker was lost is simply sent again, a bounded number
of times: with few others, then alone, so that a request which kills its worker takes no other with
it. Who was lost with its node accuses no request at first; and a worker whose device failed, or may
have, is tried with a request whose answer is known, or with one alone, before it gets more.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Generic

from search_cluster.protocols.counters import EvaluatorStats
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult
from search_cluster.workers.batch_size import BATCHES_PER_WORKER, BatchSize
from search_cluster.workers.group.joined_worker import JoinedWorker
from search_cluster.workers.group.loss_row import LossRow
from search_cluster.workers.group.suspects import Break, Queued
from search_cluster.workers.group.waiting_work import EXCUSED, WaitingWork
from search_cluster.workers.group.worker import H, Loss, Lost, Ready, WorkerLostError
from search_cluster.workers.messages import BatchReport
from search_cluster.workers.tally import Tally

LOOK_S = 1.0
"""Seconds between two looks for workers that hang, while results are awaited."""


class BaseGroup(ABC, Generic[H]):
    """Implements `PathEvaluator` over workers that others own, wherever they run.

    Args:
        requests_per_batch: requests sent together at most; ``None``: as many as each worker is
            fast with, see `search_cluster.workers.batch_size`.
        worker_timeout_s: how long a worker may take for a batch; then it is taken for hung.
    """

    where_to_look: ClassVar[str]
    """What to do about workers that die one after another."""

    def __init__(
        self, requests_per_batch: int | None = None, worker_timeout_s: float = math.inf
    ) -> None:
        self._requests_per_batch = requests_per_batch
        self._worker_timeout_s = worker_timeout_s
        self._workers: dict[int, JoinedWorker[H]] = {}
        self._waiting: dict[Any, JoinedWorker[H]] = {}
        self._work = WaitingWork(self._workers)
        self._lost: list[Lost[H]] = []
        self._losses = LossRow(self.where_to_look)
        self._num_in_flight = 0
        self._last_look_s = time.monotonic()
        self._tally = Tally()

    def __len__(self) -> int:
        return len(self._workers)

    def join(self, ready: Ready[H]) -> None:
        """Give a worker work from now on."""
        number = ready.handle.number
        self._workers[number] = JoinedWorker(
            ready.handle,
            ready.info,
            BatchSize(self._requests_per_batch),
            is_doubtful=ready.is_doubtful,
        )
        self._work.join(number)
        self._tally.hold(
            number,
            node=ready.info.node,
            device=ready.info.device,
            share=ready.info.device_share,
            held_s=ready.held_s,
        )
        self._dispatch()

    def take_lost(self) -> list[Lost[H]]:
        """Workers that left since the last call; they join again when they are back."""
        lost, self._lost = self._lost, []
        return lost

    def take_breaks(self) -> list[Break]:
        """Failures of devices since the last call for which no request is to blame."""
        return self._work.take_breaks()

    def close_nodes(self, nodes: Collection[str]) -> None:
        """Let workers on these nodes end what they have, and leave."""
        for number, worker in list(self._workers.items()):
            if worker.info.node_id in nodes and not worker.is_leaving:
                worker.is_leaving = True
                self._work.leave(number)
            if worker.is_leaving and not worker.batches:
                self._leave(worker, Loss.MOVING)

    def let_go_idle(self, idle_s: float, at_most: int | None = None) -> list[H]:
        """Let workers go that have had nothing to do for so long; one stays at least."""
        since_s = time.monotonic() - idle_s
        idle = [
            worker
            for worker in self._workers.values()
            if not (worker.batches or worker.is_leaving) and worker.idle_since_s < since_s
        ]
        leaving = idle[: len(self._workers) - 1][:at_most]
        for worker in leaving:
            self._leave(worker, None)
        return [worker.handle for worker in leaving]

    def release(self) -> list[Ready[H]]:
        """Let all workers go, to give them to others; nothing is in flight."""
        released = [worker.released() for worker in self._workers.values()]
        for worker in list(self._workers.values()):
            self._leave(worker, None)
        return released

    @property
    def max_in_flight(self) -> int:
        """Requests of all batches that may be in flight; at least 1, so that callers start."""
        staying = (worker for worker in self._workers.values() if not worker.is_leaving)
        return max(1, BATCHES_PER_WORKER * sum(worker.size.value for worker in staying))

    def submit(self, requests: Sequence[EvaluationRequest]) -> None:
        """Queue requests and fill idle workers."""
        self._num_in_flight += len(requests)
        self._work.add(requests)
        self._dispatch()

    def _dispatch(self, *, patient: bool = False) -> None:
        """Send batches, the idlest worker first, until all are full or nothing waits.

        Args:
            patient: whether more requests are about to come; then no batch that is not full goes
                where `BatchSize.is_worth_waiting`.
        """
        if not self._work:
            return
        places = self._work.places()
        # In rounds: all workers get a first batch before any gets a second one, so that few
        # requests keep many devices busy.
        for num_batches in range(BATCHES_PER_WORKER):
            for number, worker in self._workers.items():
                if not self._work:
                    return
                if (
                    len(worker.batches) == num_batches
                    and not worker.is_leaving
                    and not self._work.has_to_wait(number, worker, places, patient=patient)
                    and (items := self._work.next_batch(number, worker, places))
                ):
                    self._send(worker, items)

    def _send(self, worker: JoinedWorker[H], items: list[Queued]) -> None:
        self._waiting[worker.send(items)] = worker

    @abstractmethod
    def _wait(self, refs: Sequence[Any], timeout_s: float) -> Sequence[Any]:
        """Those of some references that have something to take; waits for the first."""

    @abstractmethod
    def _report(self, ref: Any, worker: JoinedWorker[H]) -> BatchReport:
        """What a worker says of a batch.

        Raises:
            WorkerLostError: it was lost.
            EvaluatorError: it refuses the batch.
        """

    @abstractmethod
    def _kill(self, handle: H) -> None:
        """End a worker that hangs; whoever owns it starts another one."""

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
            left_s = LOOK_S
            if deadline_s is not None:
                left_s = min(LOOK_S, max(0.0, deadline_s - time.monotonic()))
            if not self._waiting:
                if self._num_in_flight and deadline_s is not None:
                    time.sleep(max(0.0, deadline_s - time.monotonic()))
                break
            for ref in self._wait(list(self._waiting), left_s):
                # If its worker died in this very loop, its requests are queued again: to take this
                # result, too, would answer them twice.
                if ref in self._waiting:
                    results += self._take(ref)
            results += self._lose_hung()
            self._dispatch(patient=bool(results))
            if deadline_s is not None and time.monotonic() >= deadline_s:
                break
        self._num_in_flight -= len(results)
        return results

    def _take(self, ref: Any) -> list[EvaluationResult]:
        """The results of a batch.

        If its worker was lost, they are the failures of the requests that are given up.
        """
        worker = self._waiting[ref]
        try:
            report = self._report(ref, worker)
        except WorkerLostError as error:
            return self._lose(worker, error.kind, error.cause)
        items = worker.batches[ref]
        is_trial = items[0].is_trial
        if is_trial and (difference := self._work.difference(items[0], report)) is not None:
            self._kill(worker.handle)
            return self._lose(worker, Loss.DEVICE, difference)
        busy_s = sum(result.device_busy_s for result in report.results)
        del self._waiting[ref]
        worker.take(ref, busy_s, is_sound=len(report.local_ids) < len(items))
        if is_trial:
            return []
        results = self._work.settle(worker, items, report)
        if not report.local_ids:
            worker.size.learn(len(results), busy_s)
        if results:
            self._losses.end()
        self._tally.add(worker.handle.number, results, report.work, report.reading)
        return results

    def _lose_hung(self) -> list[EvaluationResult]:
        """Kill workers that have not answered for too long, if it is time to look for them."""
        now_s = time.monotonic()
        passed_s = now_s - self._last_look_s
        if passed_s < LOOK_S:
            return []
        self._last_look_s = now_s
        given_up = []
        workers, timeout_s = [*self._workers.values()], self._worker_timeout_s
        for worker in [one for one in workers if one.is_hung(passed_s, timeout_s)]:
            if worker.handle.number in self._workers:
                self._kill(worker.handle)
                cause = f"it has not answered for {worker.silent_s:.0f} s, and is killed"
                given_up += self._lose(worker, Loss.PROCESS, cause)
        return given_up

    def _lose(self, worker: JoinedWorker[H], kind: Loss, cause: str) -> list[EvaluationResult]:
        """Let all that was in flight on a lost worker wait again, or fail.

        Raises:
            EvaluatorError: too many were lost in a row.
        """
        number = worker.handle.number
        self._tally.add_restart(number)
        places = self._work.places()
        # One that has shown nothing since its process began is doubtful when it is back.
        may_be_device = kind is Loss.PROCESS and not worker.has_answered
        self._leave(worker, Loss.DEVICE if may_be_device else kind)
        accused = self._work.take_back(worker, kind)
        if kind in EXCUSED and not accused:
            return []
        self._losses.count(places.num_workers, cause)
        given_up = self._work.accuse(worker, kind, cause, accused, places)
        self._tally.add(number, given_up)
        return given_up

    def _leave(self, worker: JoinedWorker[H], kind: Loss | None) -> None:
        """Let a worker go; with a kind it is lost, and may be back."""
        number = worker.handle.number
        del self._workers[number]
        for ref in worker.batches:
            del self._waiting[ref]
        if not worker.is_leaving:
            self._work.leave(number)
        self._tally.give_back(number)
        if kind is not None:
            self._lost.append(Lost(handle=worker.handle, kind=kind, node_id=worker.info.node_id))

    def stats(self) -> EvaluatorStats:
        """Counters since the group was made."""
        return self._tally.stats(num_in_flight=self._num_in_flight)

    def close(self) -> None:
        """Forget everything; the workers stay their owner's. Idempotent."""
        self._workers.clear()
        self._waiting.clear()
        self._tally.stop()
