"""One worker of a group, and what is in flight on it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from search_cluster.workers.batch_size import BatchSize
from search_cluster.workers.group.suspects import Queued
from search_cluster.workers.group.worker import H, Ready
from search_cluster.workers.messages import WorkerInfo
from search_cluster.workers.wire import LinkOut

MIN_SILENCE_S = 60.0
"""How long it may take at least when its pace is known."""
SILENCE_FACTOR = 20.0
"""How many times what its slowest requests lead one to expect."""
DOUBTFUL_SHARE = 0.25
"""The part of the time that any batch may take in which a doubtful worker has to answer the one
request that it has: it does not spend hours on being found to hang with whatever it gets."""
MAX_SILENCE_PER_LOOK_S = 2.0
"""The most by which silence grows at a look: if it was this process that stood still since the last
one, answers may be waiting to be taken."""


@dataclass(slots=True, eq=False)
class JoinedWorker(Generic[H]):
    """One worker and what is in flight on it."""

    handle: H
    info: WorkerInfo
    size: BatchSize
    is_doubtful: bool = False
    """Whether its device may be broken, as far as its last answers or their absence tell."""
    is_leaving: bool = False
    """Whether it gets no more work, and goes when it has answered what it has."""
    has_answered: bool = False
    """Whether it has, since its process began, more than what it was tried with."""
    is_witnessed: bool = False
    """Whether it was tried once more when there was no doubt any more."""
    link: LinkOut = field(default_factory=LinkOut)
    batches: dict[Any, list[Queued]] = field(default_factory=dict)
    """Batches in the order of sending, by result reference. They run at the same time."""
    idle_since_s: float = field(default_factory=time.monotonic)
    """When it last had a batch."""
    silent_s: float = 0.0
    """Seconds for which it has had batches and answered none."""
    slowest_request_s: float = 0.0
    """The most that requests of one batch took, on average."""

    @property
    def num_running(self) -> int:
        """Requests that were sent and not answered."""
        return sum(map(len, self.batches.values()))

    @property
    def is_trying_suspects(self) -> bool:
        """Whether it has requests that may kill it, and with it whatever joins them."""
        return any(items[0].num_attempts for items in self.batches.values())

    @property
    def is_tried(self) -> bool:
        """Whether it has a request whose answer is known."""
        return any(items[0].is_trial for items in self.batches.values())

    def send(self, items: list[Queued]) -> Any:
        """Let a batch run; the reference of its results."""
        if not self.batches:
            self.silent_s = 0.0
        ref = self.handle.evaluate(self.link.pack([item.request for item in items]))
        self.batches[ref] = items
        return ref

    def take(self, ref: Any, seconds: float, *, is_sound: bool) -> None:
        """Note that a batch was answered.

        Args:
            ref: the batch's.
            seconds: how long its device took.
            is_sound: whether it answered anything in a way that casts no doubt on the worker.
        """
        self.silent_s = 0.0
        items = self.batches.pop(ref)
        self.link.confirm(item.request for item in items)
        if items[0].is_trial:
            self.is_witnessed |= not self.is_doubtful
        else:
            self.has_answered |= is_sound
        self.is_doubtful = not is_sound
        self.idle_since_s = time.monotonic()
        self.slowest_request_s = max(self.slowest_request_s, seconds / len(items))

    def is_hung(self, passed_s: float, timeout_s: float) -> bool:
        """Add to its silence; whether it is taken for hung.

        Args:
            passed_s: seconds since it was last asked.
            timeout_s: how long it may take in any case.
        """
        if not self.batches:
            return False
        self.silent_s += min(passed_s, MAX_SILENCE_PER_LOOK_S)
        if self.is_doubtful:
            timeout_s = min(timeout_s, max(MIN_SILENCE_S, DOUBTFUL_SHARE * timeout_s))
        if self.has_answered:
            expected_s = self.num_running * self.slowest_request_s
            timeout_s = min(timeout_s, max(MIN_SILENCE_S, SILENCE_FACTOR * expected_s))
        return self.silent_s > timeout_s

    def released(self) -> Ready[H]:
        """The same for whoever gets it next."""
        return Ready(handle=self.handle, info=self.info, held_s=0.0, is_doubtful=self.is_doubtful)

    def unanswered(self) -> Sequence[list[Queued]]:
        """Its batches, without those that were there to try it."""
        return [items for items in self.batches.values() if not items[0].is_trial]
