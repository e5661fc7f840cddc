"""Coordinators that share examples and workers on Ray: the same corpus, whoever dies."""

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.cache_folder import Outage, count_verdicts
from support.command import wait_for
from support.fault_tools import has_ended
from support.scripted_search import (
    BUDGET,
    Outcome,
    make_examples,
    make_job,
    records_of,
    run_group,
    start_group,
)

from search_cluster.cache.open import num_waiting, open_store
from search_cluster.cache.server.embedded import EmbeddedServer
from search_cluster.cluster.coordinators.settings import CoordinatorSettings
from search_cluster.corpus.digest import corpus_digest, record_digest
from search_cluster.driver.cluster import drive_on_cluster
from search_cluster.driver.driver import Driver
from search_cluster.driver.job import SearchJob
from search_cluster.driver.local import drive_here
from search_cluster.driver.partition import PartitionSetup
from search_cluster.errors import CacheError, EvaluatorError
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult
from search_cluster.protocols.scripted import ScriptedEvaluator
from search_cluster.search.coordinator import Coordinator
from search_cluster.search.questions import Questions
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task
from search_cluster.tree.presets.registry import get_preset

pytestmark = [pytest.mark.ray, pytest.mark.server, pytest.mark.usefixtures("ray_cluster")]

NUM_EXAMPLES = 40
NUM_PATHS = NUM_EXAMPLES * BUDGET


@pytest.fixture
def server_url(tmp_path: Path) -> Iterator[str]:
    with EmbeddedServer(tmp_path / "cache") as server:
        yield server.url


@pytest.fixture
def awkward() -> Any:
    from ray import cloudpickle
    from support import awkward_actors

    cloudpickle.register_pickle_by_value(awkward_actors)
    yield awkward_actors
    cloudpickle.unregister_pickle_by_value(awkward_actors)


@contextlib.contextmanager
def devices(count: int, *, path_s: float = 0.001, **settings: Any) -> Iterator[Any]:
    from search_cluster.cluster.scripted_devices import Pace, ask_for_scripted

    pace = Pace(batch_s=0.005, path_s=path_s)
    with contextlib.closing(
        ask_for_scripted(pace, num_devices=count, num_layers=12, needs_device=False, **settings)
    ) as fleet:
        yield fleet


class SameScript(ScriptedEvaluator):
    """Answers in this process as the scripted devices do."""

    def __init__(self) -> None:
        super().__init__(lambda example, path: 0.0)

    def _answer(self, request: EvaluationRequest) -> EvaluationResult:
        from search_cluster.cluster.scripted_devices import scripted_verdict

        return EvaluationResult(request_id=request.request_id, outcome=scripted_verdict(request))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    with devices(1) as fleet:
        job = make_job(tmp_path_factory.mktemp("undisturbed"))
        return run_group(start_group(PartitionSetup(job=job), fleet, make_examples(NUM_EXAMPLES)))


def test_the_number_of_coordinators_changes_nothing_but_the_speed(
    undisturbed: Outcome, tmp_path: Path
) -> None:
    assert undisturbed.counts.num_paths_searched == undisturbed.stats.num_evaluated == NUM_PATHS
    # Slow enough that a coordinator that starts seconds after the other one still finds work.
    with devices(3, slots_per_process=2, path_s=0.01) as fleet:
        group = start_group(
            PartitionSetup(job=make_job(tmp_path)),
            fleet,
            make_examples(NUM_EXAMPLES),
            num_coordinators=2,
        )
        outcome = run_group(group)
    assert outcome.digest == undisturbed.digest
    assert outcome.counts == undisturbed.counts
    assert (outcome.stats.num_evaluated, outcome.stats.num_cache_hits) == (NUM_PATHS, 0)
    assert [worker.worker for worker in outcome.stats.workers] == [0, 1, 2]
    assert all(worker.num_evaluated for worker in outcome.stats.workers)
    assert sum(worker.num_evaluated for worker in outcome.stats.workers) == NUM_PATHS


def pids_at_work(group: Any) -> list[int]:
    """Process numbers of coordinators that hold examples; others are not missed if they go."""
    return [
        coordinator.report.pid
        for coordinator in group._working
        if coordinator.report is not None and group._leases.num_held(coordinator.number)
    ]


def test_a_coordinator_that_is_killed_is_replaced_and_computes_next_to_nothing_twice(
    undisturbed: Outcome, tmp_path: Path, server_url: str
) -> None:
    killed: list[int] = []

    def kill_one(group: Any) -> None:
        if not killed and group.num_ended >= 3 and (pids := pids_at_work(group)):
            killed.append(pids[0])
            os.kill(killed[0], signal.SIGKILL)

    with devices(2) as fleet:
        setup = PartitionSetup(job=make_job(tmp_path, server_url))
        group = start_group(setup, fleet, make_examples(NUM_EXAMPLES), num_coordinators=2)
        outcome = run_group(group, kill_one)
    assert killed
    assert outcome.num_restarts == 1
    assert outcome.digest == undisturbed.digest
    assert outcome.counts.num_paths_searched == NUM_PATHS
    # Twice: at most what was in flight, two batches on each of the two devices. Its last step was
    # never reported.
    assert outcome.stats.num_cache_hits > 0
    assert outcome.stats.num_evaluated <= NUM_PATHS + 2 * 2 * 512


def test_a_coordinator_that_is_killed_while_the_cache_server_is_away_is_replaced_all_the_same(
    undisturbed: Outcome, tmp_path: Path
) -> None:
    with EmbeddedServer(tmp_path / "cache") as server, devices(2, path_s=0.004) as fleet:
        setup = PartitionSetup(job=make_job(tmp_path, server.url))
        with Outage(server) as outage:

            def disturb(group: Any) -> None:
                if not outage.began and group.num_ended >= 3 and (pids := pids_at_work(group)):
                    outage.begin()
                    os.kill(pids[0], signal.SIGKILL)

            outcome = run_group(
                start_group(setup, fleet, make_examples(NUM_EXAMPLES), num_coordinators=2), disturb
            )
            assert outage.began
            assert list((tmp_path / "spool").glob("*.spool"))
        assert outcome.num_restarts == 1
        assert outcome.digest == undisturbed.digest
        with open_store(server.url, context=setup.job.context, run_dir=tmp_path):
            assert count_verdicts(server.url) == NUM_PATHS  # what the dead one kept on disk, too
        assert list((tmp_path / "spool").iterdir()) == []


def test_what_waits_for_a_shard_is_handed_out_when_the_searches_are_ended(
    undisturbed: Outcome, tmp_path: Path
) -> None:
    # As Ctrl-C does: examples ended, and none of them has filled a shard.
    whole = {record.example.question: record for record in undisturbed.records}
    found: list[Any] = []
    job = make_job(tmp_path)
    job = replace(job, shards=replace(job.shards, max_age_s=math.inf))
    with devices(2, path_s=0.004) as fleet:
        setup = PartitionSetup(job=job)
        group = start_group(setup, fleet, make_examples(NUM_EXAMPLES), num_coordinators=2)
        while group.num_ended < 3:
            found += group.step()
        assert group.busy
        num_ended = group.num_ended
        shards = group.close()
        assert group.close() == []
    assert found == []
    records = list(records_of(shards))
    assert len(records) >= num_ended
    assert all(record == whole[record.example.question] for record in records)
    assert {ended.example_id: ended.digest for shard in shards for ended in shard.new} == {
        record.example.example_id: record_digest(record) for record in records
    }


def test_examples_of_an_earlier_invocation_count_and_are_not_handed_out_again(
    undisturbed: Outcome, tmp_path: Path
) -> None:
    known = {record.example.example_id: record.evaluated for record in undisturbed.records[:30]}
    with devices(1) as fleet:
        setup = PartitionSetup(job=make_job(tmp_path))
        group = start_group(setup, fleet, make_examples(NUM_EXAMPLES), known=known)
        outcome = run_group(group)
    assert {record.example.example_id for record in outcome.records} == {
        record.example.example_id for record in undisturbed.records[30:]
    }
    assert group.num_ended == NUM_EXAMPLES
    assert outcome.counts.num_paths_searched == NUM_PATHS
    assert outcome.stats.num_evaluated == 10 * BUDGET


@pytest.mark.slow
def test_a_coordinator_that_is_full_gets_company_which_takes_half_of_its_workers(
    undisturbed: Outcome, tmp_path: Path, awkward: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search_cluster.cluster.coordinators import group as group_module
    from search_cluster.cluster.coordinators import staffing

    monkeypatch.setattr(staffing, "WINDOW_S", 0.5)
    monkeypatch.setattr(staffing, "FULL_SHARE", 0.0)  # whoever lives is full,
    monkeypatch.setattr(staffing, "IDLE_SHARE", -1.0)  # and its workers wait
    monkeypatch.setattr(group_module, "num_free", lambda kind: 2)
    whole = {record.example.question: record for record in undisturbed.records}
    shares: list[list[int]] = []
    found: list[Any] = []
    with devices(4, path_s=0.02) as fleet:
        setup = PartitionSetup(job=make_job(tmp_path))
        examples = make_examples(100 * NUM_EXAMPLES)  # more than end before the test does
        group = start_group(setup, fleet, examples, num_coordinators=None, requests_per_batch=4)
        try:
            while [2, 2] not in shares or group.num_ended < len(whole):
                found += group.step()
                shares.append(sorted(len(other.workers) for other in group._working))
                assert group.busy
        finally:
            found += group.close()
    assert shares[0] == [4]
    assert max(map(len, shares)) == 2  # as many as there is room for
    assert group.num_restarts == 0
    records = list(records_of(found))
    assert len({record.example.example_id for record in records}) == len(records)
    first = [record for record in records if record.example.question in whole]
    assert all(record == whole[record.example.question] for record in first)
    assert len(first) > NUM_EXAMPLES / 2


def test_a_coordinator_that_hangs_is_killed_and_replaced(
    undisturbed: Outcome, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stopped: list[psutil.Process] = []

    def stop_one(group: Any) -> None:
        if not stopped and group.num_ended >= 3 and (pids := pids_at_work(group)):
            stopped.append(psutil.Process(pids[0]))
            stopped[0].suspend()

    with devices(2) as fleet:
        setup = PartitionSetup(job=make_job(tmp_path))
        group = start_group(
            setup, fleet, make_examples(NUM_EXAMPLES), num_coordinators=2, coordinator_timeout_s=3.0
        )
        outcome = run_group(group, stop_one)
    assert outcome.num_restarts == 1
    assert outcome.digest == undisturbed.digest
    assert outcome.counts.num_paths_searched == NUM_PATHS
    assert "it has not reported for 3 s, and is killed" in caplog.text
    wait_for(lambda: has_ended(stopped[0]))


@pytest.mark.soak
def test_a_coordinator_that_is_starved_and_a_driver_that_stood_still_are_no_hang(
    undisturbed: Outcome, tmp_path: Path
) -> None:
    pauses: list[Any] = []

    def starve(group: Any) -> None:
        report = next(iter(group._working)).report
        if group.num_ended < 3 or len(pauses) == 4 or (pauses and report is pauses[-1]):
            return
        pauses.append(report)
        process = psutil.Process(group.pids()[0])
        process.suspend()
        timer = threading.Timer(2.0, process.resume)
        timer.start()
        if len(pauses) == 4:  # for longer than it would take to call anybody silent
            timer.join()
            time.sleep(4.5)

    with devices(1, path_s=0.004) as fleet:
        group = start_group(
            PartitionSetup(job=make_job(tmp_path)),
            fleet,
            make_examples(NUM_EXAMPLES),
            coordinator_timeout_s=4.0,
        )
        outcome = run_group(group, starve)
    assert len(pauses) == 4
    assert outcome.num_restarts == 0
    assert outcome.digest == undisturbed.digest


def test_coordinators_that_hang_from_the_start_end_the_run(
    tmp_path: Path, awkward: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search_cluster.cluster.coordinators import health as health_module

    monkeypatch.setattr(health_module, "MAX_LOSSES_IN_A_ROW", 1)
    with devices(1) as fleet:
        setup = awkward.HangingSetup(job=make_job(tmp_path))
        group = start_group(
            setup, fleet, make_examples(2), coordinator_timeout_s=1.0, placement_timeout_s=3.0
        )
        with pytest.raises(
            EvaluatorError, match=r"coordinators died 2 times .*it has not reported for [345] s"
        ):
            run_group(group)
    assert group.num_ended == 0


def test_coordinators_that_start_while_the_cache_server_is_away_go_on_without_it(
    undisturbed: Outcome, tmp_path: Path, server_url: str
) -> None:
    with EmbeddedServer(tmp_path / "other") as server, devices(2) as fleet:
        setup = PartitionSetup(job=make_job(tmp_path, server.url))
        with Outage(server) as outage:
            outage.begin()
            outcome = run_group(
                start_group(setup, fleet, make_examples(NUM_EXAMPLES), num_coordinators=2)
            )
            assert num_waiting(tmp_path, setup.job.context) == NUM_PATHS
        assert (outcome.digest, outcome.num_restarts) == (undisturbed.digest, 0)
        assert outcome.stats.num_evaluated == NUM_PATHS
        with open_store(server.url, context=setup.job.context, run_dir=tmp_path):
            assert count_verdicts(server.url) == NUM_PATHS
        assert num_waiting(tmp_path, setup.job.context) == 0


def test_coordinators_that_alone_cannot_use_the_cache_server_end_the_run(
    tmp_path: Path, server_url: str, awkward: Any
) -> None:
    with devices(1) as fleet:
        group = start_group(
            awkward.CutOffSetup(job=make_job(tmp_path, server_url)), fleet, make_examples(2)
        )
        with pytest.raises(CacheError, match="can't be used from here"):
            run_group(group)
    assert group.num_ended == 0


def test_an_example_that_kills_its_coordinator_is_reported_and_harms_no_other(
    undisturbed: Outcome, tmp_path: Path, server_url: str, awkward: Any
) -> None:
    from search_cluster.cluster.coordinators.example_leases import MAX_LOSSES

    with devices(1) as fleet:
        setup = awkward.PoisonSetup(job=make_job(tmp_path, server_url))
        outcome = run_group(start_group(setup, fleet, make_examples(8)))
    assert outcome.num_restarts == MAX_LOSSES
    records = {record.example.question: record for record in outcome.records}
    assert len(records) == 8
    poison = records.pop(awkward.POISON)
    assert (poison.stop_reason, poison.identity, poison.evaluated) == ("failed", None, ())
    (failure,) = poison.failures
    assert failure.kind == "CoordinatorDied"
    assert "4 coordinators died of it" in failure.message
    whole = {record.example.question: record for record in undisturbed.records}
    assert all(record == whole[question] for question, record in records.items())


def test_coordinators_that_cannot_start_end_the_run_and_no_example(
    tmp_path: Path, awkward: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search_cluster.cluster.coordinators import health as health_module

    monkeypatch.setattr(health_module, "MAX_LOSSES_IN_A_ROW", 1)
    with devices(1) as fleet:
        group = start_group(
            awkward.UnbuildableSetup(job=make_job(tmp_path)), fleet, make_examples(2)
        )
        with pytest.raises(EvaluatorError, match=r"coordinators died 2 times .*no room for it"):
            run_group(group)
    assert group.num_ended == 0


def test_a_worker_that_loads_for_long_joins_the_running_search(
    undisturbed: Outcome, tmp_path: Path, awkward: Any
) -> None:
    import ray

    from search_cluster.cluster.scripted_devices import Pace
    from search_cluster.cluster.worker_fleet import WorkerFleet
    from search_cluster.cluster.worker_handle import WorkerHandle

    gate = tmp_path / "gate"
    pace = Pace(batch_s=0.0, path_s=0.004)
    actor = ray.remote(awkward.LateDevices).options(num_cpus=0).remote(pace, 2, 12, gate)
    workers = [WorkerHandle(number=slot, actor=actor, slot=slot) for slot in range(2)]
    seen_alone: list[int] = []

    def open_the_gate(group: Any) -> None:
        if group.num_ended and not seen_alone:
            seen_alone.append(group.stats().num_devices)
            gate.touch()

    with contextlib.closing(
        WorkerFleet(workers, needs="nothing", placement_timeout_s=60.0, grace_s=0.0)
    ) as fleet:
        group = start_group(
            PartitionSetup(job=make_job(tmp_path)), fleet, make_examples(NUM_EXAMPLES)
        )
        assert fleet.num_awaited == 1
        outcome = run_group(group, open_the_gate)
    assert seen_alone == [1]
    assert outcome.digest == undisturbed.digest
    first, second = outcome.stats.workers
    assert first.num_evaluated > second.num_evaluated > 0
    assert outcome.stats.num_devices == 2
    assert second.device_held_s == pytest.approx(
        first.device_held_s, abs=1.0
    )  # in one process since the start


def test_workers_without_a_place_are_named_and_not_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    import ray

    from search_cluster.cluster.scripted_devices import Pace, ScriptedDevices
    from search_cluster.cluster.worker_fleet import WorkerFleet
    from search_cluster.cluster.worker_handle import WorkerHandle

    pace = Pace(batch_s=0.0, path_s=0.0)
    actors = [
        ray.remote(ScriptedDevices).options(num_cpus=0, resources=resources).remote(pace, 1, 12, "")
        for resources in (None, {"unobtainium": 1})
    ]
    workers = [WorkerHandle(number=number, actor=actor) for number, actor in enumerate(actors)]
    with contextlib.closing(
        WorkerFleet(workers, needs="1 unobtainium", placement_timeout_s=60.0, grace_s=0.1)
    ) as fleet:
        fleet.wait()
        assert [ready.handle.number for ready in fleet.ready()] == [0]
        assert not caplog.records
        fleet._placement_timeout_s = 0.0
        assert fleet.ready() == fleet.ready() == []
    (record,) = caplog.records
    assert "goes on without some workers: 1 of 2 workers were ready after" in record.message
    assert "no place was found for the others" in record.message
    assert "each asks for 1 unobtainium, and the cluster has" in record.message


def test_workers_of_unlike_arithmetic_are_left_out(
    awkward: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import ray

    from search_cluster.cluster.scripted_devices import Pace
    from search_cluster.cluster.worker_fleet import WorkerFleet
    from search_cluster.cluster.worker_handle import WorkerHandle

    gate = tmp_path / "gate"
    pace = Pace(batch_s=0.0, path_s=0.0)
    actor = ray.remote(awkward.UnlikeDevices).options(num_cpus=0).remote(pace, 3, 12, gate)
    workers = [WorkerHandle(number=slot, actor=actor, slot=slot) for slot in range(3)]
    with contextlib.closing(
        WorkerFleet(workers, needs="nothing", placement_timeout_s=60.0, grace_s=0.0)
    ) as fleet:
        assert fleet.wait().arithmetic == "H100"
        numbers = [ready.handle.number for ready in fleet.ready()]
        gate.touch()
        while fleet.num_awaited:
            numbers += [ready.handle.number for ready in fleet.ready()]
        assert (sorted(numbers), fleet.num_workers) == ([0, 2], 2)
    (record,) = caplog.records
    assert record.message.startswith("worker 1 is left out: workers on ")
    assert "with unlike kernels (H100 and A100), which round differently" in record.message


def kill_an_actor(name: str) -> int:
    """Kill -9 of an actor of this class in this process' own Ray; its process number."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any(f"ray::{name}" in part for part in process.cmdline()):
                process.kill()
                return process.pid
    raise AssertionError(f"no actor of class {name}")


def test_workers_that_die_leave_and_come_back(undisturbed: Outcome, tmp_path: Path) -> None:
    # Ray once told of a second loss, of the worker that nobody killed, on a machine that was busy
    # with other tests. Whatever it tells must not show in what is found, so that is asked of each
    # try; that one kill is one restart is asked of one of them.
    outcomes = [_with_a_killed_worker(tmp_path / "first")]
    if outcomes[0].stats.num_worker_restarts != 1:
        outcomes.append(_with_a_killed_worker(tmp_path / "second"))
    for outcome in outcomes:
        assert outcome.digest == undisturbed.digest
        assert outcome.num_restarts == 0
        assert outcome.counts.num_failures == 0
    assert outcomes[-1].stats.num_worker_restarts == 1


def _with_a_killed_worker(folder: Path) -> Outcome:
    """A search by two workers, of which one is killed once."""
    killed: list[int] = []

    def kill_devices(group: Any) -> None:
        if not killed and group.num_ended >= 3:
            killed.append(kill_an_actor("ScriptedDevices"))

    with devices(2, path_s=0.004, slots_per_process=1) as fleet:
        factory = PartitionSetup(job=make_job(folder))
        outcome = run_group(start_group(factory, fleet, make_examples(NUM_EXAMPLES)), kill_devices)
    assert killed
    return outcome


def test_a_coordinator_that_has_lost_its_workers_for_good_gives_its_examples_to_the_others(
    undisturbed: Outcome,
    tmp_path: Path,
    server_url: str,
    awkward: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import ray

    from search_cluster.cluster.coordinators import health as health_module
    from search_cluster.cluster.scripted_devices import Pace
    from search_cluster.cluster.worker_fleet import WorkerFleet
    from search_cluster.cluster.worker_handle import WorkerHandle

    monkeypatch.setattr(health_module, "STARVED_S", 1.0)
    gate = tmp_path / "gate"
    gate.touch()
    pace = Pace(batch_s=0.0, path_s=0.004)
    actor_class = ray.remote(awkward.LateDevices).options(num_cpus=0, max_restarts=-1)
    workers = [
        WorkerHandle(number=number, actor=actor_class.remote(pace, 2, 12, gate), slot=1)
        for number in range(2)
    ]

    def kill_one_for_good(group: Any) -> None:
        if gate.exists() and group.num_ended >= 3:
            gate.unlink()
            kill_an_actor("LateDevices")

    with contextlib.closing(
        WorkerFleet(workers, needs="nothing", placement_timeout_s=60.0)
    ) as fleet:
        setup = PartitionSetup(job=make_job(tmp_path, server_url))
        group = start_group(setup, fleet, make_examples(NUM_EXAMPLES), num_coordinators=2)
        outcome = run_group(group, kill_one_for_good)
    assert not gate.exists()
    assert "has lost all of its workers: others take over" in caplog.text
    assert outcome.digest == undisturbed.digest
    assert (outcome.num_restarts, outcome.counts.num_failures) == (0, 0)
    assert outcome.counts.num_paths_searched == NUM_PATHS
    assert outcome.stats.num_evaluated == NUM_PATHS  # nothing that it had found was computed again


Studied = tuple[SearchJob, Sequence[Example], Sequence[Example]]


@pytest.fixture
def studied_job(tmp_path: Path) -> Studied:
    """A job that begins with a study, its examples, and the questions for the study."""
    pool = get_task("capitals").load("train", None).examples
    preset = replace(get_preset("credible"), budget=60)
    job = replace(make_job(tmp_path), preset=preset, pool=pool, studied=None)
    return job, pool[:24], Questions(get_task("capitals"), pool, pool[:24], seed=0).probes(32)


@contextlib.contextmanager
def driven_on_cluster(studied_job: Studied, url: str) -> Iterator[Driver]:
    from search_cluster.cluster.ray_pool import RayPool

    job, examples, probes = studied_job
    with (
        devices(2) as fleet,
        contextlib.closing(RayPool(fleet)) as pool,
        drive_on_cluster(
            replace(job, redis_url=url),
            pool,
            examples,
            probes=probes,
            known={},
            settings=CoordinatorSettings(
                num_coordinators=2, placement_timeout_s=60.0, coordinator_timeout_s=60.0
            ),
        ) as driver,
    ):
        yield driver


def drive_to_the_end(driver: Driver) -> str:
    """The digest of what it found."""
    records = []
    while driver.busy:
        records += records_of(driver.step())
    assert {record.stop_reason for record in records} <= {"improved", "budget", "exhausted"}
    return corpus_digest(records)


def test_a_cluster_drives_the_study_and_the_search_as_one_process_does(
    studied_job: Studied, server_url: str
) -> None:
    job, examples, probes = studied_job
    with drive_here(job, SameScript(), examples, probes=probes, known={}) as driver:
        assert isinstance(driver, Coordinator)
        reference, menu, progress = drive_to_the_end(driver), driver.menu, driver.progress()
    assert progress.num_examples_done == 24
    with driven_on_cluster(studied_job, server_url) as driver:
        digest = drive_to_the_end(driver)
        assert driver.menu == menu
        assert replace(driver.progress(), num_cache_hits=0) == replace(
            progress, num_cache_hits=0, num_coordinators=2
        )
        assert (
            driver.stats().num_evaluated + driver.stats().num_cache_hits
            == progress.num_paths_searched
        )
    assert digest == reference


def test_a_cache_server_that_is_away_when_the_study_ends_ends_no_run(
    studied_job: Studied, tmp_path: Path
) -> None:
    job, examples, probes = studied_job
    with drive_here(job, SameScript(), examples, probes=probes, known={}) as driver:
        reference, num_searched = drive_to_the_end(driver), driver.progress().num_paths_searched
    with EmbeddedServer(tmp_path / "cache") as server:
        with Outage(server) as outage:
            with driven_on_cluster(studied_job, server.url) as driver:
                while driver.progress().num_paths_searched < 32:
                    driver.step()
                assert not driver.menu  # the study goes on
                outage.begin()
                assert drive_to_the_end(driver) == reference
                assert driver.progress().num_paths_searched == num_searched
                assert driver.progress().num_coordinator_restarts == 0
                num_evaluated = driver.stats().num_evaluated
            assert num_searched / 2 < num_waiting(tmp_path, job.context) <= num_evaluated - 32
        with open_store(server.url, context=job.context, run_dir=tmp_path):
            assert count_verdicts(server.url) == num_evaluated
    assert num_waiting(tmp_path, job.context) == 0


def test_a_password_shows_in_no_text_form_of_what_travels() -> None:
    job = make_job(Path("run"), "redis://user:s3cret@host:6380/0")
    assert "s3cret" not in repr(job) + str(PartitionSetup(job=job)) + f"{PartitionSetup(job=job)!r}"
