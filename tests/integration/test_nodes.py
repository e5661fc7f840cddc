"""A Ray of several nodes on this machine, which come and go; the scaling benchmark."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.scripted_search import make_examples, make_job, run_group, start_group

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
