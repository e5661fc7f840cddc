"""Requests that wait for a worker, and which of them it gets next. Knows nothing of Ray."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from search_cluster.protocols.messages import EvaluationRequest
from search_cluster.workers.dispatch import Dispatcher
from search_cluster.workers.group.joined_worker import JoinedWorker
from search_cluster.workers.group.suspects import Break, Queued, Suspects

TRIAL_ID = -1
"""The request id of what tries a worker."""


class WaitingWork:
    """What waits: requests at their examples' homes, and accused ones apart.

    Args:
        workers: those that there are, by number; owned by the group.
    """

    def __init__(self, workers: Mapping[int, JoinedWorker[Any]]) -> None:
        self._workers = workers
        self._dispatcher = Dispatcher[Queued](
            lambda item: item.request.example.example_id,
            lambda number: workers[number].num_running,
        )
        self.suspects = Suspects()
        self._known: EvaluationRequest | None = None
        """A request that was answered, to try workers with."""

    def __bool__(self) -> bool:
        return bool(self.suspects or self._dispatcher)

    @property
    def places(self) -> dict[int, str]:
        """The nodes of all workers."""
        return {number: worker.info.node_id for number, worker in self._workers.items()}

    def join(self, worker: int) -> None:
        """Let a worker have a queue."""
        self._dispatcher.join(worker)

    def leave(self, worker: int) -> None:
        """Let others have what waits for a worker."""
        self._dispatcher.leave(worker)

    def add(self, requests: Iterable[EvaluationRequest]) -> None:
        """Queue new requests."""
        self._dispatcher.add(Queued(request) for request in requests)

    def put_back(self, batches: Sequence[list[Queued]]) -> None:
        """Let batches wait again that were lost by nobody's fault, in front of all others."""
        self.suspects.put_back(batch for batch in batches if batch[0].num_attempts)
        self._dispatcher.add_first(
            item for batch in batches if not batch[0].num_attempts for item in batch
        )

    def note_answered(self, items: Sequence[Queued], *, is_verdict: bool) -> None:
        """Note that a batch was answered, and whether its first request was with a verdict."""
        if is_verdict:
            self._known = items[0].request
        self.suspects.clear(items)

    def take_breaks(self) -> list[Break]:
        """Failures of devices since the last call for which no request is to blame."""
        return self.suspects.take_breaks()

    def has_to_wait(self, number: int, worker: JoinedWorker[Any], *, patient: bool) -> bool:
        """Whether a worker's next batch had better be sent later.

        Args:
            number: the worker's.
            worker: who asks.
            patient: whether more requests are about to come.
        """
        if worker.batches and worker.is_doubtful:
            return True
        has_suspects = bool(self.suspects) and self.suspects.has_for(number, self.places)
        if worker.batches and (has_suspects or worker.is_trying_suspects):
            return True  # suspects run in nobody's company, so workers make room for them
        if has_suspects or worker.is_doubtful or not worker.size.is_worth_waiting:
            return False
        num_waiting = self._dispatcher.num_waiting(number)
        if patient:
            return num_waiting < worker.size.value
        # It would join the batch that runs; a small one would keep those that come later from it.
        return bool(worker.batches) and num_waiting < worker.size.value / 2

    def next_batch(self, number: int, worker: JoinedWorker[Any]) -> list[Queued]:
        """A batch; requests that may have killed a worker share it with nobody else."""
        if worker.is_doubtful:
            if self._known is not None:
                known = replace(self._known, request_id=TRIAL_ID)
                return [Queued(known, is_trial=True)]
            if alone := self._dispatcher.next_batch(number, 1):
                return alone
        if self.suspects and (items := self.suspects.take(number, self.places)):
            return items
        return self._dispatcher.next_batch(number, worker.size.value, take_over=not worker.batches)
