"""A Ray of several nodes on this machine, which come and go; the scaling benchmark."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.scripted_search import make_examples, make_job, run_group, start_group

from search_cluster.cache.server.embedded import EmbeddedServer
from search_cluster.driver.partition import PartitionSetup

pytestmark = [pytest.mark.ray, pytest.mark.server, pytest.mark.soak]

NUM_EXAMPLES = 60


@pytest.fixture
def ray_environment() -> Iterator[None]:
    """Leaves the Ray of the other tests as it was."""
    from search_cluster.cluster.environment import prepare_ray_environment

    prepare_ray_environment("local")
    import ray

    from search_cluster.cluster.session import connect_ray

    was_connected = ray.is_initialized()
    yield
    if was_connected:
        connect_ray("local", min_cpus=4)


@pytest.mark.usefixtures("ray_environment")
def test_a_node_that_comes_late_joins_and_one_that_is_lost_is_done_without(tmp_path: Path) -> None:
    from search_cluster.cluster.scripted_devices import Pace, ask_for_scripted
    from search_cluster.cluster.simulated import simulated_cluster

    pace = Pace(batch_s=0.01, path_s=0.01)
    job = make_job(tmp_path)
    with simulated_cluster([1]) as cluster:
        (first,) = cluster.nodes
        settings: dict[str, Any] = {"num_layers": 12, "slots_per_process": 1}
        with contextlib.closing(ask_for_scripted(pace, num_devices=1, **settings)) as fleet:
            reference = run_group(
                start_group(PartitionSetup(job=job), fleet, make_examples(NUM_EXAMPLES))
            )
        steps: list[str] = []

        def disturb(group: Any) -> None:
            if not steps and group.num_ended >= 2:
                assert fleet.num_awaited == 1
                cluster.add_node(1)
                steps.append("second node is there")
            if len(steps) == 1 and group.stats().num_devices == 2:
                cluster.remove_node(first)
                steps.append("first node is gone")

        with contextlib.closing(
            ask_for_scripted(pace, num_devices=2, grace_s=0.0, **settings)
        ) as fleet:
            group = start_group(
                PartitionSetup(job=job), fleet, make_examples(NUM_EXAMPLES), num_coordinators=2
            )
            outcome = run_group(group, disturb)
    assert steps == ["second node is there", "first node is gone"]
    assert outcome.digest == reference.digest
    assert outcome.counts.num_paths_searched == reference.counts.num_paths_searched
    assert [worker.num_evaluated > 0 for worker in outcome.stats.workers] == [True, True]
    assert outcome.stats.num_devices == 1


@pytest.mark.usefixtures("ray_environment")
def test_a_node_whose_devices_break_is_given_up_and_one_that_comes_late_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from search_cluster.cluster.scripted_devices import (
        Ailment,
        DeviceFault,
        Pace,
        ask_for_scripted,
    )
    from search_cluster.cluster.session import count_devices
    from search_cluster.cluster.simulated import simulated_cluster

    job, examples = make_job(tmp_path), make_examples(NUM_EXAMPLES)
    settings: dict[str, Any] = {"num_layers": 12, "slots_per_process": 1, "grace_s": 0.0}
    with simulated_cluster([2]) as cluster:
        pace = Pace(batch_s=0.01, path_s=0.02)
        with contextlib.closing(ask_for_scripted(pace, num_devices=2, **settings)) as fleet:
            reference = run_group(start_group(PartitionSetup(job=job), fleet, examples))
        bad = cluster.add_node(2)
        fault = DeviceFault(ailment=Ailment.BREAKS, from_batch=2, node_ids=frozenset({bad.node_id}))

        def disturb(group: Any) -> None:
            if len(cluster.nodes) == 2 and "is given up" in caplog.text:
                cluster.add_node(3)

        fleet = ask_for_scripted(
            pace,
            num_devices=4,
            faults=[fault],
            room=lambda: count_devices("scripted_device"),
            **settings,
        )
        with contextlib.closing(fleet):
            group = start_group(PartitionSetup(job=job), fleet, examples, requests_per_batch=8)
            outcome = run_group(group, disturb)
            assert fleet.num_workers == 7
    assert outcome.digest == reference.digest
    assert outcome.counts.num_failures == outcome.stats.num_failures == 0
    assert f"node {bad.node_id[:12]} is given up: its devices failed 3 times" in caplog.text
    assert outcome.stats.num_worker_restarts >= 3
    assert sum(worker.num_evaluated > 0 for worker in outcome.stats.workers) >= 5


@pytest.mark.usefixtures("ray_environment")
def test_a_node_that_has_notice_ends_what_it_has_and_one_that_has_none_accuses_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from search_cluster.cluster.scripted_devices import Pace, ask_for_scripted
    from search_cluster.cluster.simulated import simulated_cluster

    examples = make_examples(NUM_EXAMPLES)
    settings: dict[str, Any] = {"num_layers": 12, "slots_per_process": 1, "grace_s": 10.0}
    gone_s: list[float] = []
    restarts: list[int] = []
    with EmbeddedServer(tmp_path / "cache") as server, simulated_cluster([2, 2, 2]) as cluster:
        fast, pace = Pace(batch_s=0.0, path_s=0.001), Pace(batch_s=0.1, path_s=0.1)
        with contextlib.closing(ask_for_scripted(fast, num_devices=4, **settings)) as fleet:
            setup = PartitionSetup(job=make_job(tmp_path / "reference"))
            reference = run_group(start_group(setup, fleet, examples))
        first, second, _ = cluster.nodes

        def disturb(group: Any) -> None:
            if not gone_s and group.stats().num_evaluated >= 60:
                cluster.drain_node(first, deadline_s=10.0)
                gone_s.append(time.monotonic() + 10.0)
            elif len(gone_s) == 1 and time.monotonic() > gone_s[0]:
                cluster.remove_node(first)
                gone_s.append(time.monotonic() + 5.0)
            elif len(gone_s) == 2 and time.monotonic() > gone_s[1]:
                restarts.append(group.stats().num_worker_restarts)
                cluster.remove_node(second)
                gone_s.append(time.monotonic())

        with contextlib.closing(ask_for_scripted(pace, num_devices=4, **settings)) as fleet:
            setup = PartitionSetup(job=make_job(tmp_path, server.url))
            group = start_group(setup, fleet, examples, requests_per_batch=8)
            outcome = run_group(group, disturb)
    assert restarts == [0]  # its workers had left
    assert outcome.digest == reference.digest
    assert outcome.counts.num_failures == 0
    assert outcome.counts.num_paths_searched == reference.counts.num_paths_searched
    # Twice: at most what coordinators had in flight on four devices that left a node, or went with
    # the other one.
    num_twice = outcome.stats.num_evaluated - reference.stats.num_evaluated
    assert 0 <= num_twice <= 2 * 4 * 2 * 8
    assert "is about to go" in caplog.text


@pytest.mark.usefixtures("ray_environment")
def test_devices_are_given_back_when_no_example_is_left_to_begin(tmp_path: Path) -> None:
    from search_cluster.cluster.scripted_devices import Pace, ask_for_scripted
    from search_cluster.cluster.simulated import simulated_cluster

    seen: list[int] = []
    with simulated_cluster([8]):
        fleet = ask_for_scripted(
            Pace(batch_s=0.2, path_s=0.02), num_devices=8, num_layers=12, slots_per_process=1
        )
        with contextlib.closing(fleet):
            setup = PartitionSetup(job=make_job(tmp_path))
            group = start_group(setup, fleet, make_examples(3), idle_s=0.5)
            outcome = run_group(group, lambda group: seen.append(group.stats().num_devices))
            assert fleet.num_workers < 8
    assert max(seen) == 8
    assert 1 <= seen[-1] < 8
    assert outcome.counts.num_failures == 0


@pytest.mark.usefixtures("ray_environment")
def test_bench_scaling_reports_what_it_promises() -> None:
    from search_cluster.bench.config import ScalingBenchConfig
    from search_cluster.bench.scaling import bench_scaling

    result = bench_scaling(
        ScalingBenchConfig(
            workers=(1, 4), seconds=3.0, real=False, model="demo", requests_per_batch=16
        ),
        say=print,
    )
    assert json.loads(json.dumps(result)) == result
    assert result["two_workers_speedup"] is None
    assert set(result["busy_share"]) == {"1", "4"}
    assert all(0.5 < share < 1.05 for share in result["busy_share"].values())
    assert result["paths_per_s"]["4"] > 2.0 * result["paths_per_s"]["1"]
    assert result["verdicts_per_s_per_coordinator"] > 200
    assert result["coordinators_per_100_gpus"] >= 1
    assert "of which there is one" in result["limit_at_1000_gpus"]
