"""What a running search exports, against an exporter that keeps everything it is told."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from search_cluster.corpus.encoded_shard import saved_layers
from search_cluster.corpus.record import ExampleRecord, PathEvidence
from search_cluster.protocols.counters import DeviceReading, EngineWork, EvaluatorStats, WorkerStats
from search_cluster.protocols.metrics import Metric, MetricKind
from search_cluster.telemetry.metrics import METRICS, EverySecond, RunMetrics
from search_cluster.telemetry.price import Price
from search_cluster.telemetry.run_counters import RunCounters

COUNTERS = RunCounters(
    num_paths_searched=12,
    num_cache_hits=2,
    num_examples_done=3,
    num_examples=40,
    num_workers=2,
    elapsed_s=1.0,
)
FIRST = WorkerStats(
    worker=0,
    node="n0",
    device="cuda",
    num_evaluated=6,
    device_held_s=10.0,
    device_busy_s=9.0,
    num_layer_tokens=700,
    work=EngineWork(num_layer_runs=50, num_tie_rechecks=1, num_evictions=2, recheck_s=0.5),
)
SECOND = replace(
    FIRST, worker=1, node="n1", num_evaluated=4, num_failures=1, work=EngineWork(num_layer_runs=30)
)


class Kept:
    """Implements `MetricsExporter`; totals by (metric, labels)."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}

    def add(self, metric: Metric, amount: float, labels: Mapping[str, str]) -> None:
        assert metric.kind is MetricKind.COUNTER
        assert amount > 0
        self.set(
            metric, self.values.get((metric.name, frozenset(labels.items())), 0.0) + amount, labels
        )

    def set(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        assert tuple(labels) == metric.labels
        self.values[metric.name, frozenset(labels.items())] = value

    def total(self, name: str, **labels: str) -> float:
        wanted = set(labels.items())
        return sum(
            value
            for (metric, has), value in self.values.items()
            if metric == name and wanted <= has
        )


def test_totals_arrive_whole_however_often_they_are_exported() -> None:
    exporter = Kept()
    metrics = RunMetrics(exporter, "runs/a")
    metrics.update(
        COUNTERS, EvaluatorStats(workers=(replace(FIRST, num_evaluated=2, device_busy_s=1.0),))
    )
    for _ in range(2):
        metrics.update(COUNTERS, EvaluatorStats(workers=(FIRST, SECOND), num_in_flight=9))
    assert exporter.total("search_paths_searched", run="runs/a") == 12
    assert exporter.total("search_paths_cached") == 2
    assert exporter.total("search_paths_evaluated") == 10
    assert exporter.total("search_paths_evaluated", node="n0", worker="0", device="cuda") == 6
    assert exporter.total("search_device_busy_seconds") == 18.0
    assert exporter.total("search_recheck_seconds", node="n0") == 0.5
    assert exporter.total("search_layer_runs", node="n1") == 30
    assert exporter.total("search_paths_failed") == 1
    assert exporter.total("search_queue_depth") == 9
    assert exporter.total("search_examples") == 40


def test_a_busy_card_that_computes_little_is_seen_and_money_is_told() -> None:
    exporter = Kept()
    metrics = RunMetrics(exporter, "r", Price(per_gpu_hour=2.5))
    reading = DeviceReading(peak_flops_per_s=1e12, memory_bytes=3, utilisation=0.97)
    read = replace(FIRST, reading=reading, work=EngineWork(num_layer_rows=8, flops=1e11))
    metrics.update(COUNTERS, EvaluatorStats(workers=(read, SECOND)))
    assert exporter.total("search_computed_flops", node="n0") == 1e11
    assert exporter.total("search_available_flops") == 1e13, "of which this is a hundredth"
    assert exporter.total("search_layer_rows") == 8
    assert exporter.total("search_device_memory_bytes") == 3
    assert exporter.total("search_device_utilisation", node="n0") == 0.97
    assert exporter.total("search_price_per_gpu_hour") == 2.5
    names = {name for name, labels in exporter.values if ("node", "n1") in labels}
    assert not names & {"search_device_utilisation", "search_device_memory_bytes"}
    RunMetrics(without := Kept(), "r").update(COUNTERS, EvaluatorStats())
    assert "search_price_per_gpu_hour" not in {name for name, _ in without.values}


def test_a_worker_that_moved_goes_on_counting_at_its_new_node() -> None:
    exporter = Kept()
    metrics = RunMetrics(exporter, "r")
    metrics.update(COUNTERS, EvaluatorStats(workers=(FIRST,)))
    metrics.update(
        COUNTERS,
        EvaluatorStats(workers=(replace(FIRST, node="n9", num_evaluated=7, num_restarts=1),)),
    )
    assert exporter.total("search_paths_evaluated", node="n0") == 6
    assert exporter.total("search_paths_evaluated", node="n9") == 1
    assert exporter.total("search_worker_restarts", node="n9") == 1


def test_names_are_unique_and_their_labels_known() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert {metric.labels for metric in METRICS} == {("run",), ("run", "node", "worker", "device")}


def test_reports_are_due_at_once_and_then_once_an_interval() -> None:
    now_s = [100.0]
    every = EverySecond(1.0, clock=lambda: now_s[0])
    due = []
    for now_s[0] in (100.0, 100.4, 100.9, 101.0, 101.5, 109.0, 109.5):
        due.append(every.due())
    assert due == [True, False, False, True, False, True, False]


def test_engine_work_adds_and_subtracts() -> None:
    more = EngineWork(num_layer_runs=7, num_tie_rechecks=3, num_evictions=1, recheck_s=0.25)
    assert FIRST.work.plus(more).minus(FIRST.work) == more
    assert EngineWork().plus(more) == more


def test_saved_layers_count_right_best_paths_alone(records: list[ExampleRecord]) -> None:
    exporter = Kept()
    metrics = RunMetrics(exporter, "r")
    for record in records:
        metrics.add_example(saved_layers(record))
    metrics.update(COUNTERS, EvaluatorStats())
    assert exporter.total("search_solved_examples") == 3
    assert exporter.total("search_saved_layers") == 1 + 1 - 1
    assert exporter.total("search_verified_saved_layers") == 0


@pytest.mark.parametrize(
    ("credible", "num_verify", "verified"), [(True, 2, 1), (False, 2, 0), (True, 0, 0)]
)
def test_layers_are_verified_by_reserved_evidence_alone(
    records: list[ExampleRecord], credible: bool, num_verify: int, verified: int
) -> None:
    evidence = PathEvidence(
        path=records[0].best[0].path,
        guide_right=1,
        guide_identity_right=1,
        num_guide=1,
        verify_right=num_verify,
        verify_identity_right=0,
        num_verify=num_verify,
        probe_right=0,
        probe_identity_right=0,
        num_probes=0,
        credible=credible,
    )
    exporter = Kept()
    metrics = RunMetrics(exporter, "r")
    metrics.add_example(saved_layers(replace(records[0], evidence=(evidence,))))
    metrics.update(COUNTERS, EvaluatorStats())
    assert exporter.total("search_saved_layers") == 1
    assert exporter.total("search_verified_saved_layers") == verified
