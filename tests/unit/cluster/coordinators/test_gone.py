"""What becomes of the examples and the counters of coordinators that are gone."""

from search_cluster.cluster.coordinators.example_leases import MAX_LOSSES, ExampleLeases
from search_cluster.cluster.coordinators.gone import GoneCoordinators
from search_cluster.cluster.coordinators.messages import StepReport
from search_cluster.cluster.coordinators.shard_maker import Finished
from search_cluster.protocols.counters import EvaluatorStats, SearchCounts, WorkerStats
from search_cluster.tasks.example import Example

EXAMPLES = [
    Example(task="t", question=f"q{i}", gold="g", split="train", source="test") for i in range(3)
]


def report(num_settled: int) -> StepReport:
    worker = WorkerStats(worker=0, node="n", device="cpu", num_evaluated=num_settled + 1)
    return StepReport(
        pid=1,
        finished=Finished(),
        num_ended=0,
        num_held=0,
        delivered=SearchCounts(num_paths_searched=num_settled + 1),
        settled=SearchCounts(num_paths_searched=num_settled),
        stats=EvaluatorStats.of_workers([worker], num_devices=1, num_in_flight=9),
        num_workers=1,
        lost=(),
        num_wanted=0,
        busy=True,
    )


def test_counters_stay_and_what_was_not_finished_does_not_count() -> None:
    gone = GoneCoordinators(ExampleLeases(EXAMPLES), num_layers=4)
    for left in (report(10), None, report(5)):
        gone.keep_counters(left)
    assert gone.counts == SearchCounts(num_paths_searched=15)
    assert gone.stats.num_evaluated == 17
    assert (gone.stats.num_devices, gone.stats.num_in_flight) == (0, 0)
    assert [worker.num_evaluated for worker in gone.stats.workers] == [17]


def test_the_time_that_was_not_reported_is_added_to_that_of_the_worker() -> None:
    gone = GoneCoordinators(ExampleLeases(EXAMPLES), num_layers=4)
    held = WorkerStats(worker=0, node="n", device="cpu", device_held_s=30.0)
    gone.keep_counters(report(10), [held])
    gone.keep_counters(None, [held])
    (worker,) = gone.stats.workers
    assert (worker.num_evaluated, worker.device_held_s) == (11, 60.0)
    assert gone.stats.num_devices == 0


def test_examples_wait_again_until_too_many_died_of_one() -> None:
    leases = ExampleLeases(EXAMPLES[:1])
    gone = GoneCoordinators(leases, num_layers=4)
    for number in range(MAX_LOSSES):
        assert leases.take(number, 1, 1.0) == EXAMPLES[:1]
        records = gone.lose(number, kind="CoordinatorDied", cause="killed")
    (record,) = records
    assert (record.example, record.stop_reason, record.identity) == (EXAMPLES[0], "failed", None)
    assert [(item.kind, item.message) for item in record.failures] == [
        ("CoordinatorDied", "4 coordinators died of it: killed")
    ]
    assert gone.num_restarts == MAX_LOSSES
    assert leases.done


def test_whoever_is_let_go_is_no_loss() -> None:
    leases = ExampleLeases(EXAMPLES)
    gone = GoneCoordinators(leases, num_layers=4)
    held = leases.take(0, 2, 1.0)
    gone.let_go(0)
    assert gone.num_restarts == 0
    assert leases.take(1, len(held), 2.0) == held


def test_whoever_is_excused_is_replaced_and_accuses_nobody() -> None:
    leases = ExampleLeases(EXAMPLES[:1])
    gone = GoneCoordinators(leases, num_layers=4)
    for number in range(2 * MAX_LOSSES):
        assert leases.take(number, 1, 1.0) == EXAMPLES[:1]
        assert leases.has_company(number) is False
        gone.excuse(number)
    assert gone.num_restarts == 2 * MAX_LOSSES
    assert not leases.done
