"""The evaluators of one process that drives searches: they join and leave, and each holds a bounded number of batches.

Evaluation is idempotent, so a request whose evaluator died is simply sent again: alone, so that a request which kills
its evaluator takes no other with it, and a bounded number of times.
"""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from search_cluster.cluster.worker_handle import ReadyWorker, WorkerHandle
from search_cluster.errors import EvaluatorError
from search_cluster.protocols.counters import EvaluatorStats
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.workers.batch_size import BatchSize
from search_cluster.workers.dispatch import Dispatcher
from search_cluster.workers.messages import WorkerInfo
from search_cluster.workers.tally import Tally
from search_cluster.workers.wire import LinkBrokenError, LinkOut, unpack_report

BATCHES_PER_EVALUATOR = 2
"""In flight: one running, one waiting, which keeps a device busy while results travel."""
MAX_ATTEMPTS = 3
"""How often one request may lose its evaluator before it counts as a failure."""
MAX_LOSSES_IN_A_ROW = 12
"""Evaluators lost without one result in between, beyond one each: then it is not the requests that kill them."""


@dataclass(slots=True, eq=False)
class _Queued:
    """A request that waits, and how many evaluators it has killed."""

    request: EvaluationRequest
    num_attempts: int = 0


@dataclass(slots=True, eq=False)
class _Member:
    """One evaluator and what is in flight on it."""

    evaluator: WorkerHandle
    info: WorkerInfo
    size: BatchSize
    link: LinkOut = field(default_factory=LinkOut)
    batches: dict[Any, list[_Queued]] = field(default_factory=dict)
    """By result reference, in the order of sending: the evaluator runs the first, the others wait there."""

    @property
    def num_running(self) -> int:
        """Requests that were sent and not answered."""
        return sum(map(len, self.batches.values()))


class WorkerGroup:
    """Implements `PathEvaluator` over evaluators that others own; this process is connected to Ray.

    Args:
        requests_per_batch: requests sent together at most; ``None``: as many as are worth
            `search_cluster.workers.batch_size.TARGET_S` of an evaluator's time.
    """

    def __init__(self, requests_per_batch: int | None = None) -> None:
        self._requests_per_batch = requests_per_batch
        self._members: dict[int, _Member] = {}
        self._waiting: dict[Any, _Member] = {}
        self._dispatcher = Dispatcher[_Queued](
            lambda item: item.request.example.example_id, lambda number: self._members[number].num_running
        )
        self._suspects = deque[_Queued]()
        self._lost: list[WorkerHandle] = []
        self._losses_in_a_row = 0
        self._num_in_flight = 0
        self._tally = Tally()

    def __len__(self) -> int:
        return len(self._members)

    def join(self, ready: ReadyWorker) -> None:
        """Give an evaluator work from now on."""
        number = ready.evaluator.number
        self._members[number] = _Member(ready.evaluator, ready.info, BatchSize(self._requests_per_batch))
        self._dispatcher.join(number)
        self._tally.hold(number, node=ready.info.node, device=ready.info.device, held_s=ready.held_s)
        self._dispatch()

    def take_lost(self) -> list[WorkerHandle]:
        """Evaluators that died since the last call; they left, and may join again when they are back."""
        lost, self._lost = self._lost, []
        return lost

    def release(self) -> list[ReadyWorker]:
        """Let all evaluators go, to give them to others; nothing is in flight."""
        released = [
            ReadyWorker(evaluator=member.evaluator, info=member.info, held_s=0.0) for member in self._members.values()
        ]
        for number in list(self._members):
            self._leave(number)
        return released

    @property
    def max_in_flight(self) -> int:
        """Requests of all batches that may be in flight; at least 1, so that callers start."""
        return max(1, BATCHES_PER_EVALUATOR * sum(member.size.value for member in self._members.values()))

    def submit(self, requests: Sequence[EvaluationRequest]) -> None:
        """Queue requests and fill idle evaluators."""
        self._num_in_flight += len(requests)
        self._dispatcher.add(_Queued(request) for request in requests)
        self._dispatch()

    def _dispatch(self) -> None:
        """Send batches, the idlest evaluator first, until all are full or nothing waits."""
        for num_batches in range(BATCHES_PER_EVALUATOR):
            for number, member in self._members.items():
                if not (self._suspects or self._dispatcher):
                    return
                if len(member.batches) == num_batches and (items := self._next_items(number, member)):
                    ref = member.evaluator.evaluate(member.link.pack([item.request for item in items]))
                    member.batches[ref] = items
                    self._waiting[ref] = member

    def _next_items(self, number: int, member: _Member) -> list[_Queued]:
        """A batch; a request that may have killed an evaluator goes alone."""
        if self._suspects:
            return [self._suspects.popleft()]
        return self._dispatcher.next_batch(number, member.size.value, take_over=not member.batches)

    def collect(self, timeout_s: float | None = None) -> list[EvaluationResult]:
        """Results of all batches that are ready; waits for the first, as long as evaluators have any.

        Without evaluators it waits for the time-out and returns nothing.

        Raises:
            EvaluatorError: evaluators die one after another, or one refuses its batches.
        """
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
                if ref in self._waiting:  # or its evaluator died in this very loop
                    results += self._take(ref)
            self._dispatch()
        self._num_in_flight -= len(results)
        return results

    def _take(self, ref: Any) -> list[EvaluationResult]:
        """The results of a batch; of an evaluator that died, the failures of requests that are given up."""
        member = self._waiting[ref]
        try:
            report = unpack_report(ray.get(ref))
        except RayTaskError as error:
            if isinstance(error.cause, LinkBrokenError):  # it was restarted while it was idle
                return self._lose(member, error, num_guilty=0)
            raise EvaluatorError(
                f"an evaluator on {member.info.node} refused a batch: {first_line(error.cause)}; nothing found is "
                "lost: look at Ray's logs for the cause, then run the same command again"
            ) from error
        except RayError as error:  # the actor died or can't be reached, or the result was lost with its node
            return self._lose(member, error, num_guilty=1)
        del self._waiting[ref], member.batches[ref]
        self._losses_in_a_row = 0
        member.size.learn(len(report.results), sum(result.device_busy_s for result in report.results))
        self._tally.add(member.evaluator.number, report.results, report.work)
        return list(report.results)

    def _lose(self, member: _Member, error: RayError, *, num_guilty: int) -> list[EvaluationResult]:
        """Put all that was in flight on a dead evaluator back in front of the queue.

        Args:
            member: the evaluator.
            error: what the call says.
            num_guilty: of its batches, whose requests may have killed it: the first, which was running; or none.

        Raises:
            EvaluatorError: too many were lost in a row.
        """
        number = member.evaluator.number
        self._tally.add_restart(number)
        self._losses_in_a_row += 1
        if self._losses_in_a_row > MAX_LOSSES_IN_A_ROW + len(self._members):
            raise EvaluatorError(
                f"workers died {self._losses_in_a_row} times without one result in between ({first_line(error)}); "
                "nothing found is lost: look at Ray's logs for the cause, then run the same command again"
            ) from error
        batches = list(member.batches.values())
        running = [item for batch in batches[:num_guilty] for item in batch]
        self._leave(number)
        self._lost.append(member.evaluator)
        for item in running:
            item.num_attempts += 1
        self._suspects.extend(item for item in running if item.num_attempts < MAX_ATTEMPTS)
        behind_items = [item for batch in batches[num_guilty:] for item in batch]
        self._suspects.extend(item for item in behind_items if item.num_attempts)
        self._dispatcher.add_first(item for item in behind_items if not item.num_attempts)
        message = f"{MAX_ATTEMPTS} workers died of it: {first_line(error)}"
        given_up = [
            EvaluationResult(request_id=item.request.request_id, outcome=Failure(kind="WorkerDied", message=message))
            for item in running
            if item.num_attempts >= MAX_ATTEMPTS
        ]
        self._tally.add(number, given_up)
        return given_up

    def _leave(self, number: int) -> None:
        member = self._members.pop(number)
        for ref in member.batches:
            del self._waiting[ref]
        self._dispatcher.leave(number)
        self._tally.give_back(number)

    def stats(self) -> EvaluatorStats:
        """Counters since the group was made."""
        return self._tally.stats(num_in_flight=self._num_in_flight)

    def close(self) -> None:
        """Forget everything; the evaluators stay their owner's. Idempotent."""
        self._members.clear()
        self._waiting.clear()
        self._tally.stop()


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its name."""
    return (str(error).splitlines() or [type(error).__name__])[0]
