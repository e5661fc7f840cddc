"""How batches and reports travel: as plain tuples, and an example's text once per worker.

Both ends of a link keep a book of examples. Batches may begin in another order than they were sent
(an asyncio actor of Ray promises none, and a large batch is often overtaken by the next one), so
the sender takes as known only what a batch told that was answered. A link is one sender and one
worker; a new sender, or one whose worker was lost, opens a new link and tells everything again.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from search_cluster.errors import EvaluatorError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.counters import DeviceReading, EngineWork
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers.messages import BatchReport

MAX_KNOWN_EXAMPLES = 4096
"""Examples in a sender's book; a batch may hold more, for as long as it lasts. A worker keeps twice
as many: what is known there is forgotten in another order, by the batches in flight."""

_WORK = tuple(item.name for item in fields(EngineWork))
_READING = tuple(item.name for item in fields(DeviceReading))


class LinkBrokenError(EvaluatorError):
    """A worker does not know what it was told before: it was restarted. Open a new link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedBatch:
    """Requests on their way to a worker."""

    new_examples: tuple[Example, ...]
    """Examples of the batch that may not be in the worker's book."""
    num_layers: int
    items: tuple[tuple[int, str, tuple[int, ...]], ...]
    """(request id, example id, layers)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedReport:
    """A `BatchReport` on its way back."""

    rows: tuple[tuple[int, float, float | None, float | None, str, int], ...]
    """(request id, device seconds, reward, margin, output, layer tokens); a failure has no reward,
    its kind and message as the output, separated by a line break, and 0 tokens."""
    work: tuple[Any, ...]
    """The fields of `EngineWork`, in their order."""
    reading: tuple[Any, ...]
    """Those of `DeviceReading`."""
    local_ids: tuple[int, ...] = ()
    """As `BatchReport` has them."""


class LinkOut:
    """The sender's end of a link."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()

    def pack(self, requests: Sequence[EvaluationRequest]) -> PackedBatch:
        """The batch of at least one request."""
        examples = {request.example.example_id: request.example for request in requests}
        new = tuple(
            example for example_id, example in examples.items() if example_id not in self._known
        )
        for example_id in filter(self._known.__contains__, examples):
            self._known.move_to_end(example_id)
        return PackedBatch(
            new_examples=new,
            num_layers=requests[0].path.num_layers,
            items=tuple(
                (item.request_id, item.example.example_id, item.path.layers) for item in requests
            ),
        )

    def confirm(self, requests: Iterable[EvaluationRequest]) -> None:
        """Note that a batch was answered: the worker knows its examples."""
        for request in requests:
            example_id = request.example.example_id
            self._known[example_id] = None
            self._known.move_to_end(example_id)
        _forget(self._known, MAX_KNOWN_EXAMPLES)


class LinkIn:
    """The worker's end of whatever links speak to it: an example's id is a hash of its content."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Example] = OrderedDict()

    def unpack(self, batch: PackedBatch) -> list[EvaluationRequest]:
        """The requests of a batch.

        Raises:
            LinkBrokenError: the batch names an example that this end was never told.
        """
        self._known.update((example.example_id, example) for example in batch.new_examples)
        try:
            requests = [
                EvaluationRequest(
                    request_id=request_id,
                    example=self._known[example_id],
                    path=LayerPath.unchecked(layers, batch.num_layers),
                )
                for request_id, example_id, layers in batch.items
            ]
        except KeyError as error:
            raise LinkBrokenError(
                f"a batch names example {error.args[0]}, which this worker was not told; open a "
                "new link"
            ) from error
        for _, example_id, _ in batch.items:
            self._known.move_to_end(example_id)
        _forget(self._known, 2 * MAX_KNOWN_EXAMPLES)
        return requests


def _forget(book: "OrderedDict[str, None] | OrderedDict[str, Example]", max_kept: int) -> None:
    """Forget what was not used for longest."""
    while len(book) > max_kept:
        book.popitem(last=False)


def pack_report(report: BatchReport) -> PackedReport:
    """What `unpack_report` turns into an equal report."""
    return PackedReport(
        rows=tuple(_row(result) for result in report.results),
        work=tuple(getattr(report.work, name) for name in _WORK),
        reading=tuple(getattr(report.reading, name) for name in _READING),
        local_ids=report.local_ids,
    )


def _row(result: EvaluationResult) -> tuple[int, float, float | None, float | None, str, int]:
    outcome = result.outcome
    if isinstance(outcome, Failure):
        return (
            result.request_id,
            result.device_busy_s,
            None,
            None,
            f"{outcome.kind}\n{outcome.message}",
            0,
        )
    return (
        result.request_id,
        result.device_busy_s,
        outcome.reward,
        outcome.margin,
        outcome.output,
        outcome.num_layer_tokens,
    )


def unpack_report(report: PackedReport) -> BatchReport:
    """What `pack_report` was given."""
    return BatchReport(
        results=tuple(
            EvaluationResult(
                request_id=request_id,
                outcome=_failure(output)
                if reward is None
                else Verdict(
                    reward=reward, margin=margin, output=output, num_layer_tokens=num_layer_tokens
                ),
                device_busy_s=device_busy_s,
            )
            for request_id, device_busy_s, reward, margin, output, num_layer_tokens in report.rows
        ),
        work=EngineWork(**dict(zip(_WORK, report.work, strict=True))),
        reading=DeviceReading(**dict(zip(_READING, report.reading, strict=True))),
        local_ids=report.local_ids,
    )


def _failure(text: str) -> Failure:
    kind, _, message = text.partition("\n")
    return Failure(kind=kind, message=message)
