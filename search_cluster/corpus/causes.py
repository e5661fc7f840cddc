"""Why paths have no verdict, each cause once."""

from collections.abc import Iterable, Sequence

from search_cluster.corpus.record import ExampleRecord, PathFailure
from search_cluster.faults import Cause, FaultWatch, counted
from search_cluster.protocols.messages import Failure
from search_cluster.protocols.rounds import Outcome, Trial
from search_cluster.tasks.example import Example


def cause_of(example: Example, outcome: object) -> Cause | None:
    """Why an example has no verdict, whatever its texts are; ``None`` if it has one."""
    if not isinstance(outcome, Failure | PathFailure):
        return None
    texts = (example.example_id, example.question, example.gold, *example.choices)
    return Cause(kind=outcome.kind, message=outcome.message, texts=texts)


def failure_causes(records: Iterable[ExampleRecord]) -> tuple[tuple[str, int], ...]:
    """The causes of all failed paths and how many each has, most frequent first."""
    causes = (
        cause
        for record in records
        for failure in record.failures
        if (cause := cause_of(record.example, failure)) is not None
    )
    return tuple((str(cause), count) for cause, count in counted(causes))


def require_sound(trials: Sequence[Trial], outcomes: Sequence[Outcome]) -> None:
    """Pass unless the first trials, or all, failed for one reason. Each has an example of its own.

    Raises:
        OneFaultError: they did.
    """
    watch = FaultWatch([example.example_id for example, _ in trials])
    for (example, _), outcome in zip(trials, outcomes, strict=True):
        watch.take(example.example_id, cause_of(example, outcome))
