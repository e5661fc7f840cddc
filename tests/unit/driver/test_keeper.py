"""Where what a driver finds goes, and what is kept when the searches end early."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from support.run_folders import PROVENANCE, all_kinds, broken, example, right, searched

from search_cluster.corpus.encoded_shard import EncodedShard, Found, encode_shard
from search_cluster.corpus.reader import read_shards
from search_cluster.corpus.writer import CorpusWriter
from search_cluster.driver.keeper import FoundKeeper
from search_cluster.errors import OneFaultError
from search_cluster.faults import FIRST
from search_cluster.protocols.counters import EvaluatorStats
from search_cluster.protocols.metrics import Metric, MetricsExporter
from search_cluster.search.record_gate import RecordGate
from search_cluster.telemetry.metrics import RunMetrics
from search_cluster.telemetry.run_counters import RunCounters


class Gauges(MetricsExporter):
    """Keeps the last value of each gauge."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def add(self, metric: Metric, amount: float, labels: Mapping[str, str]) -> None:
        raise AssertionError("nothing is counted here")

    def set(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        self.values[metric.name] = value


class EndedDriver:
    """Has nothing to do any more but to hand out its last shards."""

    def __init__(self, shards: Sequence[EncodedShard] = ()) -> None:
        self._shards = shards

    def close(self) -> Sequence[EncodedShard]:
        shards, self._shards = self._shards, ()
        return shards


def keep(
    folder: Path, found: Sequence[Found], last: Sequence[EncodedShard] = ()
) -> dict[str, float]:
    """Keep what was found, then what is left at the end; the gauges of the run."""
    gauges = Gauges()
    metrics = RunMetrics(gauges, run="r")
    with CorpusWriter(folder, PROVENANCE) as writer:
        gate = RecordGate([example(number) for number in range(40)])
        keeper = FoundKeeper(gate, writer, metrics)
        try:
            for item in found:
                keeper.take(item)
        finally:
            keeper.close(EndedDriver(last))  # type: ignore[arg-type]
    metrics.update(RunCounters(), EvaluatorStats())
    return gauges.values


def test_records_and_shards_make_the_same_corpus(tmp_path: Path) -> None:
    # The last but one failed at once: it may be kept when its neighbours are known.
    records = [*all_kinds(), searched(example(5), right)]
    assert [record.has_failed for record in records] == [False] * 4 + [True, False]
    gauges = keep(tmp_path / "records", records)
    assert gauges["search_solved_examples"] == 4
    shards = [encode_shard(part, PROVENANCE) for part in (records[:4], records[5:])]
    assert keep(tmp_path / "shards", [shards[0], records[4], shards[1]]) == gauges
    assert read_shards(tmp_path / "shards") == read_shards(tmp_path / "records")
    assert len(read_shards(tmp_path / "shards")) == 6


def test_what_was_found_before_one_fault_is_kept_and_the_fault_is_not(tmp_path: Path) -> None:
    failed = [searched(example(number), broken) for number in range(FIRST)]
    sound = [searched(example(number), right) for number in (30, 31, 32)]
    shards = [encode_shard([record], PROVENANCE) for record in sound]
    with pytest.raises(OneFaultError, match="the first 16 examples failed for one reason"):
        keep(tmp_path, [shards[0], *failed], last=shards[1:])
    assert set(read_shards(tmp_path)) == set(sound)


def test_examples_of_before_count_and_are_not_written_again(tmp_path: Path) -> None:
    record = searched(example(3), right)
    gauges = keep(tmp_path, [encode_shard([record], PROVENANCE)])
    again = encode_shard([], PROVENANCE, [record])
    assert keep(tmp_path, [again]) == gauges
    assert read_shards(tmp_path) == (record,)
