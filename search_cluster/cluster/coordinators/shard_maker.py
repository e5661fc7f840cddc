"""Shards of what one coordinator finds: made where it is found, so that no verdict travels."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from search_cluster.corpus.encoded_shard import EncodedShard, ShardSettings, encode_shard
from search_cluster.corpus.record import ExampleRecord
from search_cluster.corpus.waiting import WaitingForShard
from search_cluster.protocols.counters import SearchCounts
from search_cluster.search.coordinator import EndedSearch


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a coordinator hands over of examples that ended."""

    shard: EncodedShard | None = None
    """``None``: the others wait for more."""
    failed: tuple[ExampleRecord, ...] = ()
    """Records of examples that failed at once. They are in no shard: only who knows the examples of
    all coordinators can say whether they failed by one fault."""


class ShardMaker:
    """Lets records wait for others until they make a shard.

    Args:
        settings: the corpus.
        clock: gives seconds that only grow.
    """

    def __init__(
        self, settings: ShardSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._provenance = settings.provenance
        self._waiting = WaitingForShard[EndedSearch](
            settings.examples_per_shard, settings.max_age_s, clock
        )
        self._failed: list[ExampleRecord] = []
        self._written: set[str] = set()
        self.num_ended = 0
        """Examples that have ended."""
        self.settled = SearchCounts()
        """What was delivered to examples that were handed over."""

    def __len__(self) -> int:
        return len(self._waiting)

    def note_written(self, example_id: str) -> None:
        """Note that an example lies in a shard of an earlier invocation, so that it needs none."""
        self._written.add(example_id)

    def add(self, ended: EndedSearch) -> None:
        """Take what came of an example's search."""
        self.num_ended += 1
        if ended.record.has_failed:
            self._failed.append(ended.record)
            self.settled = self.settled.plus(ended.counts)
        else:
            self._waiting.add(ended.record.example.example_id, ended)

    def take(self, *, everything: bool) -> Finished:
        """Hand over what need not wait.

        Args:
            everything: whether nothing may wait.
        """
        failed, self._failed = tuple(self._failed), []
        is_due = self._waiting.is_due or (everything and bool(self._waiting))
        return Finished(shard=self._shard() if is_due else None, failed=failed)

    def _shard(self) -> EncodedShard:
        new: list[ExampleRecord] = []
        known: list[ExampleRecord] = []
        for ended in self._waiting.take():
            record = ended.record
            (known if record.example.example_id in self._written else new).append(record)
            self.settled = self.settled.plus(ended.counts)
        return encode_shard(new, self._provenance, known)
