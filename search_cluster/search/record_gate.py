"""Which records of a run may be kept: all but those of examples that may have failed by one fault.

Whatever drives the searches, their records come by here, so the rule is the same in one process and
on a cluster.
"""

from collections.abc import Sequence

from search_cluster.corpus.causes import cause_of
from search_cluster.corpus.record import ExampleRecord
from search_cluster.faults import Cause, FaultWatch
from search_cluster.tasks.example import Example


class RecordGate:
    """Lets records through, and holds failed ones back until they are known to be single.

    Args:
        examples: those of the run, in the order in which they are started.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        self._watch = FaultWatch([example.example_id for example in examples])
        self._held: dict[str, ExampleRecord] = {}

    def take(self, record: ExampleRecord) -> list[ExampleRecord]:
        """The records that may be kept now that this one is there, itself among them or not.

        Raises:
            OneFaultError: the examples fail for one reason.
        """
        key = record.example.example_id
        if not record.has_failed:
            return [record, *self.take_sound(key)]
        self._held[key] = record
        return self._released(key, cause_of(record.example, record.failures[0]))

    def take_sound(self, example_id: str) -> list[ExampleRecord]:
        """The records that may be kept now that this example has ended, and not failed at once.

        Its own is not among them: it may lie elsewhere.
        """
        return self._released(example_id, None)

    def _released(self, example_id: str, cause: Cause | None) -> list[ExampleRecord]:
        return [self._held.pop(other) for other in self._watch.take(example_id, cause)]
