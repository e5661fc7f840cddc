"""One shard reduced to what the overview and the table of examples need.

Shards never change once they are there, so each is read once and its records are let go.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from search_cluster.corpus.manifest import Provenance
from search_cluster.corpus.record import ExampleRecord
from search_cluster.corpus.shards import read_shard
from search_cluster.paths.layer_path import LayerPath

MAX_TEXT = 400
"""The number of characters of a question or an answer that the table of examples holds; the
example's own view has all."""
LayerUses = tuple[tuple[int, int, int], ...]
"""For each layer, how many paths skip it, run it once, and run it more often.

The shape is [num_layers, 3].
"""


class ExampleOutcome(StrEnum):
    """What the search did for one example."""

    FIXED = "fixed"
    """The plain model is wrong, and a path is right."""
    SHORTER = "shorter"
    """The plain model is right, and so is a shorter path."""
    KEPT = "kept"
    """The plain model is right, and no shorter path was."""
    UNSOLVED = "unsolved"
    """No path is right."""
    FAILED = "failed"
    """The plain model gave no verdict, so nothing was searched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleRow:
    """One searched example in short."""

    example_id: str
    """The id of the example."""
    shard: Path
    """The file of its shard."""
    position: int
    """Its position in the shard, from 0."""
    question: str
    """The text of the question, cut to `MAX_TEXT`."""
    gold: str
    """The right answer, cut to `MAX_TEXT`."""
    identity_right: bool
    """Whether the plain model is right."""
    best: LayerPath | None
    """The best path; ``None`` if it is wrong or there is none."""
    best_output: str
    """What the best path answers, cut to `MAX_TEXT`."""
    num_paths: int
    """The number of paths evaluated, identity included."""
    num_failures: int
    """The number of paths without a verdict."""
    stop_reason: str
    """Why the search ended."""
    outcome: ExampleOutcome
    """What the search did for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardDigest:
    """What is kept of one shard."""

    provenance: Provenance
    """What the records depend on."""
    rows: tuple[ExampleRow, ...]
    """Its examples, in the order of the shard."""
    best: LayerUses
    """The uses over the best paths that are right."""
    tried: LayerUses
    """The uses over all evaluated paths."""
    right: LayerUses
    """The uses over the evaluated paths that are right."""
    failure_kinds: tuple[tuple[str, int], ...]
    """The number of failures of each kind."""


def digest_shard(path: Path) -> ShardDigest:
    """The digest of a shard.

    Raises:
        CorpusError: the file is missing or damaged.
    """
    provenance, records = read_shard(path)
    items = [item for record in records for item in record.evaluated]
    kinds = Counter(failure.kind for record in records for failure in record.failures)
    rows = tuple(_row(record, path, position) for position, record in enumerate(records))
    return ShardDigest(
        provenance=provenance,
        rows=rows,
        best=layer_uses((row.best for row in rows if row.best is not None), provenance.num_layers),
        tried=layer_uses((item.path for item in items), provenance.num_layers),
        right=layer_uses(
            (item.path for item in items if item.verdict.is_correct), provenance.num_layers
        ),
        failure_kinds=tuple(sorted(kinds.items())),
    )


def layer_uses(paths: Iterable[LayerPath], num_layers: int) -> LayerUses:
    """How often each layer is skipped, run once, and run more often."""
    counts = [[0, 0, 0] for _ in range(num_layers)]
    for path in paths:
        for layer, uses in enumerate(path.counts()):
            counts[layer][min(uses, 2)] += 1
    return tuple((skip, execute, repeat) for skip, execute, repeat in counts)


def outcome_of(record: ExampleRecord) -> ExampleOutcome:
    """What the search did for the example."""
    if record.identity is None:
        return ExampleOutcome.FAILED
    best = record.best[0] if record.best and record.best[0].verdict.is_correct else None
    if not record.identity.is_correct:
        return ExampleOutcome.UNSOLVED if best is None else ExampleOutcome.FIXED
    return (
        ExampleOutcome.SHORTER
        if best is not None and len(best.path) < best.path.num_layers
        else ExampleOutcome.KEPT
    )


def _row(record: ExampleRecord, shard: Path, position: int) -> ExampleRow:
    best = record.best[0] if record.best and record.best[0].verdict.is_correct else None
    return ExampleRow(
        example_id=record.example.example_id,
        shard=shard,
        position=position,
        question=_cut(record.example.question),
        gold=_cut(record.example.gold),
        identity_right=record.identity is not None and record.identity.is_correct,
        best=None if best is None else best.path,
        best_output="" if best is None else _cut(best.verdict.output),
        num_paths=len(record.evaluated),
        num_failures=len(record.failures),
        stop_reason=record.stop_reason,
        outcome=outcome_of(record),
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]} …"
