"""A worker as whoever gives it work knows it, wherever it runs, and how it is lost."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from search_cluster.workers.messages import WorkerInfo
from search_cluster.workers.wire import PackedBatch


class Handle(Protocol):
    """What it takes to give a worker work; owns nothing."""

    @property
    def number(self) -> int:
        """Unique within a run, from 0."""
        ...

    def evaluate(self, batch: PackedBatch) -> Any:
        """Send a batch; the reference of its report."""
        ...


H = TypeVar("H", bound=Handle)


# Neither is slotted: a generic class writes its arguments into what `Ready[...](...)` makes.
@dataclass(frozen=True, kw_only=True)
class Ready(Generic[H]):
    """A worker that has loaded its model and waits for work."""

    handle: H
    info: WorkerInfo
    held_s: float
    """Seconds for which its device has been held by now and that nobody has counted yet."""
    is_doubtful: bool = False
    """Whether its device failed, or may have, before its process was restarted."""

    def after(self, waited_s: float) -> "Ready[H]":
        """The same, when it has waited for so long."""
        return replace(self, held_s=self.held_s + waited_s)


class Loss(StrEnum):
    """What became of a worker that left a group."""

    DEVICE = "device"
    """Its device failed, or may have: it was lost before it had answered anything."""
    PROCESS = "process"
    """Its process ended or hung, and nobody says that the device did it."""
    NODE = "node"
    """It was lost with its node, for which no request is to blame unless that happens again."""
    PREEMPTED = "preempted"
    """It was lost with its node, which had notice of that: no request is to blame."""
    IDLE = "idle"
    """Its process was restarted while it had nothing to do."""
    MOVING = "moving"
    """It is well, and its node gets no more work."""


@dataclass(frozen=True, kw_only=True)
class Lost(Generic[H]):
    """A worker that left a group, to be back later."""

    handle: H
    kind: Loss
    node_id: str


class WorkerLostError(Exception):
    """A worker was lost with a batch.

    Args:
        kind: how.
        cause: why, in one line.
    """

    def __init__(self, kind: Loss, cause: str) -> None:
        super().__init__(cause)
        self.kind = kind
        self.cause = cause
