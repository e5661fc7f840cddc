"""How records travel from coordinators to the driver: plain tuples, each verdict once.

The driver is one process for all coordinators, so what a record costs it bounds the whole cluster.
Plain tuples take a third of the time of the dataclasses to read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from search_cluster.corpus.record import ExampleRecord, PathEvidence, PathFailure, PathVerdict
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

VerdictRow = tuple[tuple[int, ...], float, float | None, str, int]
"""(layers, reward, margin, output, layer tokens)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedRecord:
    """An `ExampleRecord` on its way to the driver."""

    example: Example
    num_layers: int
    rows: tuple[VerdictRow, ...]
    """The record's ``evaluated``; all its other verdicts are among them."""
    has_identity: bool
    """Whether there is a verdict on identity: the first row's."""
    best: tuple[int, ...]
    """Indices of rows, as in the next two fields."""
    pareto: tuple[int, ...]
    unguarded: tuple[int, ...]
    failures: tuple[PathFailure, ...]
    evidence: tuple[PathEvidence, ...]
    stop_reason: str


def pack_record(record: ExampleRecord) -> PackedRecord:
    """What `unpack_record` turns into an equal record."""
    index = {item.path: at for at, item in enumerate(record.evaluated)}

    def at(items: Sequence[PathVerdict]) -> tuple[int, ...]:
        return tuple(index[item.path] for item in items)

    return PackedRecord(
        example=record.example,
        num_layers=record.evaluated[0].path.num_layers if record.evaluated else 0,
        rows=tuple(
            (
                item.path.layers,
                item.verdict.reward,
                item.verdict.margin,
                item.verdict.output,
                item.verdict.num_layer_tokens,
            )
            for item in record.evaluated
        ),
        has_identity=record.identity is not None,
        best=at(record.best),
        pareto=at(record.pareto),
        unguarded=at(record.unguarded),
        failures=record.failures,
        evidence=record.evidence,
        stop_reason=record.stop_reason,
    )


def unpack_record(packed: PackedRecord) -> ExampleRecord:
    """What `pack_record` was given."""
    evaluated = tuple(
        PathVerdict(
            path=LayerPath.unchecked(layers, packed.num_layers),
            verdict=Verdict(
                reward=reward, margin=margin, output=output, num_layer_tokens=num_layer_tokens
            ),
        )
        for layers, reward, margin, output, num_layer_tokens in packed.rows
    )
    return ExampleRecord(
        example=packed.example,
        identity=evaluated[0].verdict if packed.has_identity else None,
        evaluated=evaluated,
        failures=packed.failures,
        best=tuple(evaluated[at] for at in packed.best),
        pareto=tuple(evaluated[at] for at in packed.pareto),
        stop_reason=packed.stop_reason,
        evidence=packed.evidence,
        unguarded=tuple(evaluated[at] for at in packed.unguarded),
    )
