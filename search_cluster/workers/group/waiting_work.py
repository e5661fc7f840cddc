"""Requests that wait for a worker, and which of them it gets next. Knows nothing of Ray."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers.dispatch import Dispatcher
from search_cluster.workers.group.joined_worker import JoinedWorker
from search_cluster.workers.group.places import Places
from search_cluster.workers.group.suspects import (
    MAX_NODE_LOSSES,
    Accusation,
    Break,
    Queued,
    Suspects,
    failure_of,
)
from search_cluster.workers.group.worker import Loss
from search_cluster.workers.messages import BatchReport

EXCUSED = (Loss.NODE, Loss.PREEMPTED, Loss.IDLE)
"""How a worker is lost by no request's fault, at first."""
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
        self._known: tuple[EvaluationRequest, Verdict] | None = None
        """A request that was answered, to try workers with."""
        self._has_judged = False
        """Whether a request was given up though its worker had answered nothing but trials, and
        nothing was answered since: a second one in a row would be no coincidence."""

    def __bool__(self) -> bool:
        return bool(self.suspects or self._dispatcher)

    def places(self) -> Places:
        """Where all workers are now; it takes the longer the more there are."""
        return Places({number: worker.info.node_id for number, worker in self._workers.items()})

    def join(self, worker: int) -> None:
        """Let a worker have a queue."""
        self._dispatcher.join(worker)

    def leave(self, worker: int) -> None:
        """Let others have what waits for a worker."""
        self._dispatcher.leave(worker)

    def add(self, requests: Sequence[EvaluationRequest]) -> None:
        """Queue new requests."""
        self._dispatcher.add(Queued(request) for request in requests)

    def take_back(self, worker: JoinedWorker[Any], kind: Loss) -> list[Queued]:
        """Let what a lost worker had wait again, in front of all others, where nobody is to blame.

        Returns:
            The requests that its loss accuses; they don't wait yet.
        """
        batches = worker.unanswered()
        items = [item for batch in batches for item in batch]
        if kind not in EXCUSED:
            return items
        accused = set[Queued]()
        if kind is Loss.NODE and not worker.is_leaving:  # it had no notice of its end
            for item in items:
                item.num_node_losses += 1
            accused = {item for item in items if item.num_node_losses >= MAX_NODE_LOSSES}
        excused = [[item for item in batch if item not in accused] for batch in batches]
        self.suspects.put_back(batch for batch in excused if batch and batch[0].num_attempts)
        self._dispatcher.add_first(
            item for batch in excused if batch and not batch[0].num_attempts for item in batch
        )
        return [item for item in items if item in accused]

    def accuse(
        self,
        worker: JoinedWorker[Any],
        kind: Loss,
        cause: str,
        items: Sequence[Queued],
        places: Places,
    ) -> list[EvaluationResult]:
        """Note that a worker was lost with requests; the failures of those that are given up.

        Args:
            worker: it.
            kind: how it was lost.
            cause: why, in one line.
            items: all that ran there, but for what it was tried with.
            places: of all workers that there were.
        """
        loss = _accusation(
            worker,
            cause,
            num_open=len(items),
            # One that was doubtful, and ended or hung without a word again, has a broken device.
            is_device=kind is Loss.DEVICE or (kind is Loss.PROCESS and worker.is_doubtful),
            # What it was tried with was known, or alone: the device is to blame.
            is_explained=worker.is_tried or (worker.is_doubtful and len(items) == 1),
        )
        was_sound = worker.has_answered or (worker.is_witnessed and not self._has_judged)
        to_blame = self.suspects.accuse(items, loss, places, was_sound=was_sound)
        self._has_judged |= bool(to_blame) and not worker.has_answered
        is_device = kind is Loss.DEVICE
        return [failure_of(item, is_device=is_device, cause=cause) for item in to_blame]

    def difference(self, trial: Queued, report: BatchReport) -> str | None:
        """How a worker answered what is known otherwise than others did; ``None``: alike."""
        known, outcome = trial.known, report.results[0].outcome
        assert known is not None, "it is a trial"
        request = trial.request
        what = f"example {request.example.example_id}, path {request.path}"
        if isinstance(outcome, Failure):
            message = " ".join(outcome.message.split())
            return f"it fails at {what}, which was answered before: {outcome.kind}: {message}"
        if (outcome.reward, outcome.output) != (known.reward, known.output):
            return f"it answers {what} otherwise than that was answered before"
        return None

    def settle(
        self, worker: JoinedWorker[Any], items: Sequence[Queued], report: BatchReport
    ) -> list[EvaluationResult]:
        """Note what was said of a batch; the results that are final.

        Requests that failed for what may be the worker's own trouble wait for another one.
        """
        answers = dict(zip(items, report.results, strict=True))
        ids = set(report.local_ids)
        local = [item for item, answer in answers.items() if answer.request_id in ids]
        final = []
        if local:
            trouble = _accusation(worker, "it failed where others may not", num_open=len(local))
            is_sound = worker.has_answered
            final = self.suspects.doubt(local, trouble, self.places(), was_sound=is_sound)
        sure = [item for item, answer in answers.items() if answer.request_id not in ids]
        for item in sure:
            outcome = answers[item].outcome
            if isinstance(outcome, Verdict):
                self._known = item.request, outcome
                break
        self.suspects.clear(sure)
        self._has_judged &= not sure
        return [answers[item] for item in sure + final]

    def take_breaks(self) -> list[Break]:
        """Failures of devices since the last call for which no request is to blame."""
        return self.suspects.take_breaks()

    def has_to_wait(
        self, number: int, worker: JoinedWorker[Any], places: Places, *, patient: bool
    ) -> bool:
        """Whether a worker's next batch had better be sent later.

        Args:
            number: the worker's.
            worker: who asks.
            places: of all workers.
            patient: whether more requests are about to come.
        """
        if worker.is_tried or (worker.batches and worker.is_doubtful):
            return True
        has_suspects = bool(self.suspects) and self.suspects.has_for(number, places)
        if worker.batches and (has_suspects or worker.is_trying_suspects):
            return True  # suspects run in nobody's company, so workers make room for them
        if has_suspects or worker.is_doubtful or not worker.size.is_worth_waiting:
            return False
        num_waiting = self._dispatcher.num_waiting(number)
        if patient:
            return num_waiting < worker.size.value
        # It would join the batch that runs; a small one would keep those that come later from it.
        return bool(worker.batches) and num_waiting < worker.size.value / 2

    def next_batch(self, number: int, worker: JoinedWorker[Any], places: Places) -> list[Queued]:
        """A batch; requests that may have killed a worker share it with nobody else."""
        if worker.is_doubtful:
            if self._known is not None:
                return [_trial(*self._known)]
            if alone := self._dispatcher.next_batch(number, 1):
                return alone
        if self.suspects and (items := self.suspects.take(number, places)):
            is_enough = worker.has_answered or worker.is_witnessed or self._has_judged
            if is_enough or self._known is None or not items[0].may_be_judged:
                return items
            # It takes a worker that was sound to judge a request.
            self.suspects.put_back([items])
            return [_trial(*self._known)]
        return self._dispatcher.next_batch(number, worker.size.value, take_over=not worker.batches)


def _trial(request: EvaluationRequest, verdict: Verdict) -> Queued:
    return Queued(replace(request, request_id=TRIAL_ID), known=verdict)


def _accusation(
    worker: JoinedWorker[Any],
    cause: str,
    *,
    num_open: int,
    is_device: bool = False,
    is_explained: bool = False,
) -> Accusation:
    return Accusation(
        worker=worker.handle.number,
        node_id=worker.info.node_id,
        cause=cause,
        is_device=is_device,
        num_open=num_open,
        is_explained=is_explained,
    )
