import pytest

from search_cluster.protocols.counters import (
    DeviceReading,
    EngineWork,
    EvaluatorStats,
    sum_of_stats,
)
from search_cluster.protocols.messages import EvaluationResult, Failure
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers.tally import Tally

RIGHT = Verdict(reward=1.0, margin=None, output="", num_layer_tokens=10)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_device_is_held_from_its_placement_to_its_loss_and_again_when_it_is_back() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally.hold(3, node="a", device="cpu", held_s=5.0)
    tally.hold(1, node="a", device="cpu")
    clock.now_s += 10
    tally.give_back(3)
    clock.now_s += 100
    assert tally.stats().num_devices == 1
    tally.hold(3, node="b", device="cpu")
    clock.now_s += 1
    stats = tally.stats()
    assert [(worker.worker, worker.node, worker.device_held_s) for worker in stats.workers] == [
        (1, "a", 111.0),
        (3, "b", 16.0),
    ]
    assert stats.device_held_s == 127.0
    tally.stop()
    tally.stop()
    clock.now_s += 50
    assert tally.stats().device_held_s == 127.0


def test_workers_that_share_a_device_hold_parts_of_it() -> None:
    clock = Clock()
    tally = Tally(clock)
    for worker in range(3):
        tally.hold(worker, node="a", device="cuda", share=1 / 3)
        result = EvaluationResult(request_id=0, outcome=RIGHT, device_busy_s=6.0)
        tally.add(worker, [result])
    clock.now_s += 9
    stats = tally.stats()
    assert stats.num_devices == 1
    assert stats.device_held_s == pytest.approx(9.0)
    assert stats.device_busy_s == pytest.approx(6.0)
    tally.give_back(0)
    assert tally.stats().num_devices == 1, "the others hold it yet"


def test_the_sum_of_groups_counts_a_worker_once_and_nothing_twice() -> None:
    clock = Clock()
    parts = []
    for node in ("a", "b"):
        tally = Tally(clock)
        tally.hold(0, node=node, device="cpu")
        results = [
            EvaluationResult(request_id=0, outcome=RIGHT, device_busy_s=0.5),
            EvaluationResult(
                request_id=1, outcome=Failure(kind="K", message="m"), device_busy_s=0.25
            ),
        ]
        tally.add(0, results, EngineWork(num_layer_runs=4))
        tally.add_restart(0)
        clock.now_s += 2
        tally.give_back(0)
        parts.append(tally.stats(num_in_flight=3))
    total = sum_of_stats([*parts, EvaluatorStats(num_cache_hits=7, num_cache_errors=1)])
    (worker,) = total.workers
    assert (worker.node, worker.num_restarts, worker.device_held_s) == ("b", 2, 4.0)
    assert (total.num_evaluated, total.num_failures, total.num_layer_tokens) == (2, 2, 20)
    assert (total.device_busy_s, total.device_held_s, total.work.num_layer_runs) == (1.5, 4.0, 8)
    assert (
        total.num_cache_hits,
        total.num_cache_errors,
        total.num_in_flight,
        total.num_devices,
    ) == (7, 1, 6, 0)
    assert total.without_devices().num_in_flight == 0


def test_the_last_reading_stays_where_a_report_has_none() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally.hold(0, node="a", device="cuda", share=0.5)
    tally.add(0, [], EngineWork(flops=3e9), DeviceReading(peak_flops_per_s=1e9, memory_bytes=7))
    tally.add(0, [], EngineWork(flops=1e9))
    clock.now_s += 10
    stats = tally.stats()
    (worker,) = stats.workers
    assert (worker.reading.memory_bytes, stats.work.flops) == (7, 4e9)
    assert worker.available_flops == 5e9, "of half a device for ten seconds"
    later = Tally(clock)
    later.hold(0, node="a", device="cuda")
    (both,) = sum_of_stats([stats, later.stats()]).workers
    assert both.reading == worker.reading
