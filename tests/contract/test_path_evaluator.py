"""One suite over every implementation of the evaluator protocol."""

import platform
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import tiny

from search_cluster.cache.cached_evaluator import CachedEvaluator
from search_cluster.cache.memory import MemoryStore
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.evaluator import PathEvaluator
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult
from search_cluster.protocols.scripted import ScriptedEvaluator
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers.local_pool import LocalPool
from search_cluster.workers.messages import WorkerSpec

NUM_LAYERS = 6


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> WorkerSpec:
    folder = tmp_path_factory.mktemp("tiny")
    tiny.save_tiny_model(folder)
    return worker_spec(folder)


def worker_spec(folder: Path) -> WorkerSpec:
    return WorkerSpec(
        model=str(folder),
        dtype="auto",
        device="cpu",
        revision=None,
        trust_remote_code=False,
        chat="auto",
        task="capitals",
        num_threads=1,
    )


@pytest.fixture(
    params=[
        "scripted",
        "local-1",
        "local-2",
        "cached-local",
        pytest.param("group-1", marks=pytest.mark.ray),
        pytest.param("group-2", marks=pytest.mark.ray),
    ]
)
def evaluator(request: pytest.FixtureRequest, spec: WorkerSpec) -> Iterator[PathEvaluator]:
    kind, _, count = request.param.partition("-")
    built = (
        group_of(request.getfixturevalue("ray_workers")[: int(count)]) if kind == "group" else None
    )
    with closing(built or build(request.param, spec)) as chosen:
        yield chosen


@pytest.fixture(scope="module")
def ray_workers(ray_cluster: None, spec: WorkerSpec) -> Iterator[list[Any]]:
    """Two workers on Ray that all groups of these tests use in turn; a start takes seconds."""
    from search_cluster.cluster.ray_pool import (
        ask_for_workers,
    )  # after Ray's environment was prepared

    with closing(ask_for_workers(spec, num_workers=2)) as fleet:
        fleet.wait()
        ready = fleet.ready()
        while fleet.num_awaited:
            ready += fleet.ready()
            time.sleep(0.1)
        yield ready + fleet.ready()


def group_of(ready: list[Any]) -> PathEvaluator:
    from search_cluster.cluster.worker_group import WorkerGroup

    group = WorkerGroup(requests_per_batch=3)
    for one in ready:
        group.join(one)
    return group


def build(name: str, spec: WorkerSpec) -> PathEvaluator:
    if name == "scripted":
        return ScriptedEvaluator(lambda example, path: 1.0, answers_per_collect=3, shuffle_seed=0)
    if name == "cached-local":
        return CachedEvaluator(LocalPool(spec), MemoryStore())
    kind, count = name.split("-")
    if kind == "local":
        return LocalPool(spec, num_workers=int(count))
    from search_cluster.cluster.ray_pool import (  # after the fixture prepared Ray's environment
        RayPool,
        ask_for_workers,
    )

    return RayPool(ask_for_workers(spec, num_workers=int(count)), requests_per_batch=3)


@pytest.fixture(scope="module")
def example() -> Example:
    return get_task("capitals").load("train", None).examples[0]


def requests_for(example: Example, count: int) -> list[EvaluationRequest]:
    identity = LayerPath.identity(NUM_LAYERS)
    paths = [
        LayerPath(identity.layers[:cut] + identity.layers[cut + 1 :], NUM_LAYERS)
        for cut in range(NUM_LAYERS)
    ]
    return [
        EvaluationRequest(request_id=i, example=example, path=paths[i % NUM_LAYERS])
        for i in range(count)
    ]


def collect_all(evaluator: PathEvaluator, count: int) -> dict[int, EvaluationResult]:
    results: dict[int, EvaluationResult] = {}
    while len(results) < count:
        batch = evaluator.collect()
        assert batch, "collect must deliver something while requests are in flight"
        for result in batch:
            assert result.request_id not in results
            results[result.request_id] = result
    return results


def test_every_request_is_answered_exactly_once(evaluator: PathEvaluator, example: Example) -> None:
    evaluator.submit(requests_for(example, 14))
    results = collect_all(evaluator, 14)
    assert sorted(results) == list(range(14))
    assert all(isinstance(result.outcome, Verdict) for result in results.values())
    assert evaluator.collect() == []


def test_the_same_request_gives_the_same_verdict(
    evaluator: PathEvaluator, example: Example
) -> None:
    evaluator.submit(requests_for(example, 2 * NUM_LAYERS))
    results = collect_all(evaluator, 2 * NUM_LAYERS)
    for first in range(NUM_LAYERS):
        assert results[first].outcome == results[first + NUM_LAYERS].outcome


def test_stats_count_what_was_delivered(evaluator: PathEvaluator, example: Example) -> None:
    assert evaluator.max_in_flight >= 1
    evaluator.submit(requests_for(example, 3))
    collect_all(evaluator, 3)
    stats = evaluator.stats()
    assert stats.num_evaluated + stats.num_cache_hits == 3
    assert stats.num_failures == 0
    assert stats.num_devices >= 1


def test_workers_account_for_all_that_was_done(
    evaluator: PathEvaluator, example: Example, request: pytest.FixtureRequest
) -> None:
    if isinstance(evaluator, ScriptedEvaluator):
        assert evaluator.stats().workers == ()
        return
    new = replace(
        example, question=request.node.name
    )  # so that evaluators which served before have work to do
    evaluator.submit(requests_for(new, 8))
    waiting = evaluator.stats()
    assert waiting.num_in_flight == 8
    collect_all(evaluator, 8)
    stats = evaluator.stats()
    assert stats.num_in_flight == 0
    assert len(stats.workers) == stats.num_devices
    assert sum(worker.num_evaluated for worker in stats.workers) == stats.num_evaluated
    assert sum(worker.device_busy_s for worker in stats.workers) == pytest.approx(
        stats.device_busy_s
    )
    assert (
        sum(worker.work.num_layer_runs for worker in stats.workers) == stats.work.num_layer_runs > 0
    )
    assert {(worker.node, worker.device) for worker in stats.workers} == {(platform.node(), "cpu")}


def test_a_small_batch_may_overtake_a_large_one(
    evaluator: PathEvaluator, example: Example, request: pytest.FixtureRequest
) -> None:
    """Ray keeps arguments above 100 kB in its store, and the next call does not wait for them."""
    for number in range(8):
        question = f"{request.node.name} {number}"
        large = replace(example, question=question, source=200_000 * "x")
        evaluator.submit(
            [replace(one, request_id=one.request_id + 8 * number) for one in requests_for(large, 8)]
        )
        assert len(collect_all(evaluator, 8)) == 8


def test_a_timeout_returns_even_if_nothing_is_ready(evaluator: PathEvaluator) -> None:
    assert evaluator.collect(timeout_s=0.01) == []


def test_close_is_idempotent(evaluator: PathEvaluator, example: Example) -> None:
    evaluator.submit(requests_for(example, 2))
    evaluator.close()
    evaluator.close()


@pytest.mark.parametrize("name", ["local-1", pytest.param("ray-1", marks=pytest.mark.ray)])
def test_an_example_that_cannot_be_evaluated_is_a_failure_not_an_error(
    name: str, spec: WorkerSpec, request: pytest.FixtureRequest
) -> None:
    if name.startswith("ray"):
        request.getfixturevalue("ray_cluster")
    too_long = Example(
        task="capitals",
        question="why? " * 4000,
        choices=("a", "b"),
        gold="a",
        gold_index=0,
        split="train",
        source="x",
    )
    with closing(build(name, spec)) as pool:
        pool.submit(requests_for(too_long, 1))
        (result,) = pool.collect()
    assert not isinstance(result.outcome, Verdict)
    assert result.outcome.kind == "PromptTooLongError"
