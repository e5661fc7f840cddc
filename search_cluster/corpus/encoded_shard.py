"""A shard that is made in one process and written by another, with what is asked about it there.

Whoever writes it reads none of its verdicts: it knows the examples, their digests and a few figures
of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from search_cluster.corpus.digest import record_digest
from search_cluster.corpus.manifest import Provenance
from search_cluster.corpus.record import ExampleRecord
from search_cluster.corpus.shards import encode_records
from search_cluster.corpus.waiting import EXAMPLES_PER_SHARD, MAX_SHARD_AGE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSettings:
    """What whoever makes shards needs to know of their corpus."""

    provenance: Provenance
    """What the records depend on."""
    examples_per_shard: int = EXAMPLES_PER_SHARD
    """A shard is made when so many examples wait."""
    max_age_s: float = MAX_SHARD_AGE_S
    """It is also made when the oldest of them has waited for so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedLayers:
    """What the best path of a solved example saves."""

    num_layers: int
    """The depth of the model minus the length of the path."""
    is_verified: bool
    """Whether evidence that was reserved for it speaks for the path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedExample:
    """What is asked about an example that has ended beside its record."""

    example_id: str
    digest: str
    """The digest of its record."""
    num_paths: int
    """The number of evaluated paths."""
    saved: SavedLayers | None
    """``None`` unless its best path is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedShard:
    """The bytes of a shard that is not written yet."""

    data: bytes
    """What the file is to hold; empty if no example is new."""
    new: tuple[EndedExample, ...]
    """The examples in it, in the order of its rows."""
    known: tuple[EndedExample, ...] = ()
    """Examples that ended, too, and lie in shards of an earlier invocation."""

    @property
    def ended(self) -> tuple[EndedExample, ...]:
        """All examples that ended."""
        return self.new + self.known


Found = ExampleRecord | EncodedShard
"""What searches hand out: a record, or a shard of many."""


def saved_layers(record: ExampleRecord) -> SavedLayers | None:
    """What the best path saves; ``None`` unless it is right."""
    if not (record.best and record.best[0].verdict.is_correct):
        return None
    path = record.best[0].path
    return SavedLayers(
        num_layers=path.num_layers - len(path),
        is_verified=any(
            item.path == path and item.credible and bool(item.num_verify)
            for item in record.evidence
        ),
    )


def ended_example(record: ExampleRecord) -> EndedExample:
    """What is asked about an example, from its record."""
    return EndedExample(
        example_id=record.example.example_id,
        digest=record_digest(record),
        num_paths=len(record.evaluated),
        saved=saved_layers(record),
    )


def encode_shard(
    records: Sequence[ExampleRecord], provenance: Provenance, known: Sequence[ExampleRecord] = ()
) -> EncodedShard:
    """A shard of these records.

    Args:
        records: of distinct examples.
        provenance: what they depend on.
        known: records that lie in shards already.
    """
    return EncodedShard(
        data=encode_records(records, provenance) if records else b"",
        new=tuple(map(ended_example, records)),
        known=tuple(map(ended_example, known)),
    )
