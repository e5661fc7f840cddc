"""Where what a driver finds goes: into the corpus, past the watch for one fault, and to metrics."""

from search_cluster.corpus.encoded_shard import Found, saved_layers
from search_cluster.corpus.record import ExampleRecord
from search_cluster.corpus.writer import CorpusWriter
from search_cluster.driver.driver import Driver
from search_cluster.search.record_gate import RecordGate
from search_cluster.telemetry.metrics import RunMetrics


class FoundKeeper:
    """Keeps what the searches of a run find.

    Args:
        gate: says which records may be kept.
        writer: of the corpus; stays the caller's to close.
        metrics: told of every example that ended.
    """

    def __init__(self, gate: RecordGate, writer: CorpusWriter, metrics: RunMetrics) -> None:
        self._gate = gate
        self._writer = writer
        self._metrics = metrics

    def take(self, found: Found) -> None:
        """Keep a record or a shard, and the records that may be kept since it is there.

        Raises:
            OneFaultError: the examples fail for one reason.
            CorpusError: the operating system refused to write.
        """
        if isinstance(found, ExampleRecord):
            self._add(self._gate.take(found))
            self._metrics.add_example(saved_layers(found))
            return
        self._writer.add_shard(found)
        for ended in found.ended:
            self._add(self._gate.take_sound(ended.example_id))
            self._metrics.add_example(ended.saved)

    def _add(self, records: list[ExampleRecord]) -> None:
        for record in records:
            self._writer.add(record)

    def close(self, driver: Driver) -> None:
        """End the searches, and write all that they found, however they ended.

        Raises:
            CorpusError: the operating system refused to write.
        """
        try:
            for shard in driver.close():
                self._writer.add_shard(shard)
        finally:
            self._writer.flush()
