"""One worker of a group, what is in flight on it, and what is tried again when it dies."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from search_cluster.cluster.worker_handle import WorkerHandle
from search_cluster.protocols.messages import EvaluationRequest
from search_cluster.workers.batch_size import BatchSize
from search_cluster.workers.messages import WorkerInfo
from search_cluster.workers.wire import LinkOut

MAX_ATTEMPTS = 3
"""How often one request may lose its worker before it counts as a failure."""
MAX_SUSPECT_BATCHES = 32
"""Into how many batches those of a lost batch are parted at first."""


@dataclass(slots=True, eq=False)
class Queued:
    """A request that waits, and how many workers it has killed."""

    request: EvaluationRequest
    num_attempts: int = 0


@dataclass(slots=True, eq=False)
class JoinedWorker:
    """One worker and what is in flight on it."""

    handle: WorkerHandle
    info: WorkerInfo
    size: BatchSize
    link: LinkOut = field(default_factory=LinkOut)
    batches: dict[Any, list[Queued]] = field(default_factory=dict)
    """Batches in the order of sending, by result reference. They run at the same time."""

    @property
    def num_running(self) -> int:
        """Requests that were sent and not answered."""
        return sum(map(len, self.batches.values()))

    @property
    def is_trying_suspects(self) -> bool:
        """Whether it has requests that may kill it, and with it whatever joins them."""
        return any(items[0].num_attempts for items in self.batches.values())


def suspected(items: Sequence[Queued]) -> list[list[Queued]]:
    """The batches in which requests are tried that were lost together, but for those given up.

    They are `MAX_SUSPECT_BATCHES` at most, as each costs a batch's fixed time; in the last attempt
    each request is alone.
    """
    last = [[item] for item in items if item.num_attempts == MAX_ATTEMPTS - 1]
    earlier = [item for item in items if item.num_attempts < MAX_ATTEMPTS - 1]
    size = -(-len(earlier) // MAX_SUSPECT_BATCHES)
    return last + [earlier[at : at + size] for at in range(0, len(earlier), max(1, size))]
