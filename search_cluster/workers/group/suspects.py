"""Requests that may have killed workers: who is accused of what, and how the culprit is found.

Those that were lost together are tried again in fewer and fewer each other's company, in the end
alone, and not where they were lost if there is another place: a request that breaks every device
that it meets is found out, and a device that breaks with whatever it is given makes no culprits of
innocents. A request that fails where its worker may be the cause is tried elsewhere, too. Pure.
"""

import logging
import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers.group.places import Places

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
"""How often one request may lose its worker before it counts as a failure: in a batch, with few
others, alone."""
MAX_UNPROVEN_ATTEMPTS = 8
"""The same for a request if nothing shows that the last of its workers was sound before."""
MAX_NODE_LOSSES = 3
"""How often one request may lose its worker's whole node without notice before that accuses it: one
that takes all memory of a container ends all that is in it."""
MIN_PLACES = 2
"""Nodes, and workers, that have to be lost with a request before it is to blame, where there are so
many."""


@dataclass(slots=True, eq=False)
class Accusation:
    """One worker that was lost, or failed, with requests, and how many are not cleared yet."""

    worker: int
    node_id: str
    cause: str
    is_device: bool
    """Whether its device failed, or most likely did. If no request is to blame for it, the node
    is."""
    num_open: int
    is_explained: bool
    """Whether one of the requests was found to blame, or the node was blamed already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """A failure of a node's device for which no request is to blame."""

    node_id: str
    cause: str


@dataclass(slots=True, eq=False)
class Queued:
    """A request that waits, and the workers that were lost with it."""

    request: EvaluationRequest
    accusations: list[Accusation] = field(default_factory=list)
    num_node_losses: int = 0
    """Nodes that went with it without notice."""
    known: Verdict | None = None
    """Its answer, if it is there to try a worker."""

    @property
    def is_trial(self) -> bool:
        """Whether it is there to try a worker, and its answer is known."""
        return self.known is not None

    @property
    def num_attempts(self) -> int:
        """Workers that were lost, or failed, with it."""
        return len(self.accusations)

    @property
    def may_be_judged(self) -> bool:
        """Whether it may count as a failure if one more worker is lost, or fails, with it."""
        return self.num_attempts >= MAX_ATTEMPTS - 1

    def is_to_blame(self, places: Places, *, was_sound: bool) -> bool:
        """Whether it counts as a failure, now that a worker was lost, or failed, with it alone.

        Args:
            places: of the workers that there are.
            was_sound: whether the last one had answered something since its process began.
        """
        if self.num_attempts >= MAX_UNPROVEN_ATTEMPTS:
            return True
        nodes = {loss.node_id for loss in self.accusations}
        workers = {loss.worker for loss in self.accusations}
        has_been_elsewhere = len(nodes) >= min(MIN_PLACES, places.num_nodes) and len(
            workers
        ) >= min(MIN_PLACES, places.num_workers)
        return self.num_attempts >= MAX_ATTEMPTS and has_been_elsewhere and was_sound

    def explain(self) -> None:
        """Note that it is to blame for all that it is accused of."""
        for accusation in self.accusations:
            accusation.is_explained = True


class Suspects:
    """Batches of accused requests, which wait for a worker that has nothing else to do."""

    def __init__(self) -> None:
        self._batches = deque[list[Queued]]()
        self._breaks: list[Break] = []

    def __len__(self) -> int:
        return len(self._batches)

    def take(self, worker: int, places: Places) -> list[Queued]:
        """The first batch that suits a worker; empty if none does."""
        for place, batch in enumerate(self._batches):
            if _suits(batch, worker, places):
                del self._batches[place]
                return batch
        return []

    def has_for(self, worker: int, places: Places) -> bool:
        """Whether a batch suits a worker."""
        return any(_suits(batch, worker, places) for batch in self._batches)

    def put_back(self, batches: Iterable[list[Queued]]) -> None:
        """Let batches wait again as they were."""
        self._batches.extendleft(batches)

    def accuse(
        self,
        items: Sequence[Queued],
        loss: Accusation,
        places: Places,
        *,
        was_sound: bool,
    ) -> list[Queued]:
        """Note that a worker was lost with requests, and let them wait; those that are to blame.

        Args:
            items: all that ran there.
            loss: the worker's.
            places: of all workers that there were.
            was_sound: whether it had answered something since its process began.
        """
        if loss.is_device and loss.is_explained:
            self._breaks.append(Break(node_id=loss.node_id, cause=loss.cause))
        for item in items:
            item.accusations.append(loss)
        is_alone = len(items) == 1
        if is_alone and items[0].is_to_blame(places, was_sound=was_sound):
            items[0].explain()
            return list(items)
        self._part(items)
        return []

    def doubt(
        self, items: Sequence[Queued], trouble: Accusation, places: Places, *, was_sound: bool
    ) -> list[Queued]:
        """Note that requests failed, each for itself, where their worker may be the cause.

        They wait for another one, together: they kill nobody. The arguments are those of `accuse`.

        Returns:
            Those whose failure is their own.
        """
        for item in items:
            item.accusations.append(trouble)
        to_blame = [item for item in items if item.is_to_blame(places, was_sound=was_sound)]
        for item in to_blame:
            item.explain()
        if others := [item for item in items if item not in to_blame]:
            self._batches.append(others)
        return to_blame

    def _part(self, items: Sequence[Queued]) -> None:
        """Part requests that were lost together into batches.

        After the first time there are about as many batches as requests in each, since each costs a
        batch's fixed time; afterwards each request is alone.
        """
        alone = [[item] for item in items if item.num_attempts >= MAX_ATTEMPTS - 1]
        others = [item for item in items if item.num_attempts < MAX_ATTEMPTS - 1]
        size = max(1, math.isqrt(len(others)))
        self._batches.extend(alone)
        self._batches.extend(others[at : at + size] for at in range(0, len(others), size))

    def clear(self, items: Iterable[Queued]) -> None:
        """Note that requests were answered: where none of a loss is to blame, the node is."""
        for item in items:
            for loss in item.accusations:
                loss.num_open -= 1
                if loss.is_device and not (loss.num_open or loss.is_explained):
                    self._breaks.append(Break(node_id=loss.node_id, cause=loss.cause))

    def take_breaks(self) -> list[Break]:
        """Failures of devices since the last call for which no request is to blame."""
        breaks, self._breaks = self._breaks, []
        return breaks


def _suits(batch: Sequence[Queued], worker: int, places: Places) -> bool:
    """Whether a worker is the one to try a batch, or another one had better."""
    nodes = {loss.node_id for item in batch for loss in item.accusations}
    workers = {loss.worker for item in batch for loss in item.accusations}
    if len(nodes) < MIN_PLACES and places.node_of(worker) in nodes and places.has_other_node(nodes):
        return False
    has_seen_few = len(workers) < MIN_PLACES
    return not (has_seen_few and worker in workers and places.has_other_worker(workers))


def failure_of(item: Queued, *, is_device: bool, cause: str) -> EvaluationResult:
    """The outcome of a request that takes every worker along; it is named in the log."""
    what, kind = ("devices broke", "DeviceBroken") if is_device else ("workers died", "WorkerDied")
    request = item.request
    message = f"{item.num_attempts} {what} of it: {cause}"
    logger.warning(
        "example %s, path %s is given up: %s", request.example.example_id, request.path, message
    )
    return EvaluationResult(
        request_id=request.request_id, outcome=Failure(kind=kind, message=message)
    )
