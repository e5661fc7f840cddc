"""The Ray pool under fire: killed workers, deadly requests, clusters that are too small."""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file
from support import tiny
from support.command import wait_for

from search_cluster.errors import EvaluatorError, ModelError
from search_cluster.identity import ModelIdentity
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.counters import EvaluatorStats
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers.messages import WorkerInfo, WorkerSpec, require_alike

if TYPE_CHECKING:
    from search_cluster.cluster.ray_pool import RayPool

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

POISON_TASK = Path(__file__).parent / "data" / "poison_task.py"
BROKEN_TASK = Path(__file__).parent / "data" / "broken_task.py"
PATH = LayerPath.identity(6)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> WorkerSpec:
    folder = tmp_path_factory.mktemp("tiny")
    tiny.save_tiny_model(folder)
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


@pytest.fixture(scope="module")
def examples() -> tuple[Example, ...]:
    return get_task("capitals").load("train", None).examples


def open_pool(
    spec: WorkerSpec,
    *,
    num_workers: int,
    requests_per_batch: int | None = None,
    placement_timeout_s: float = 100.0,
) -> "RayPool":
    from search_cluster.cluster.ray_pool import (
        RayPool,
        ask_for_workers,
    )  # after the fixture prepared Ray

    fleet = ask_for_workers(spec, num_workers=num_workers, placement_timeout_s=placement_timeout_s)
    return RayPool(fleet, requests_per_batch=requests_per_batch)


def worker_processes() -> Iterator[psutil.Process]:
    """Those of this process' own Ray; others may run on this machine."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("ray::PathWorkerActor" in part for part in process.cmdline()):
                yield process


def test_requests_of_a_killed_worker_are_sent_again(
    spec: WorkerSpec, examples: tuple[Example, ...]
) -> None:
    with closing(open_pool(spec, num_workers=2, requests_per_batch=2)) as pool:
        pool.submit(
            [EvaluationRequest(request_id=i, example=examples[i], path=PATH) for i in range(80)]
        )
        results = {result.request_id: result for result in pool.collect()}
        os.kill(next(worker_processes()).pid, signal.SIGKILL)
        while len(results) < 80:
            results |= {result.request_id: result for result in pool.collect()}
        stats = pool.stats()
    assert sorted(results) == list(range(80))
    assert all(isinstance(result.outcome, Verdict) for result in results.values())
    assert stats.num_worker_restarts >= 1


def test_a_worker_that_is_killed_while_idle_is_not_missed(
    spec: WorkerSpec, examples: tuple[Example, ...]
) -> None:
    def requests(first_id: int, path: LayerPath) -> list[EvaluationRequest]:
        return [
            EvaluationRequest(request_id=first_id + i, example=examples[i], path=path)
            for i in range(6)
        ]

    results: list[EvaluationResult] = []
    with closing(open_pool(spec, num_workers=1, requests_per_batch=3)) as pool:
        pool.submit(requests(0, PATH))
        while len(results) < 6:
            results += pool.collect()
        (process,) = worker_processes()
        process.kill()
        wait_for(lambda: [other.pid for other in worker_processes()] not in ([], [process.pid]))
        wait_for(lambda: bool(ray_answers(pool)))
        pool.submit(requests(6, LayerPath((0, 2, 3, 4, 5), 6)))
        while len(results) < 12:
            results += pool.collect()
        stats = pool.stats()
    assert {result.request_id for result in results} == set(range(12))
    assert all(isinstance(result.outcome, Verdict) for result in results)
    assert (stats.num_evaluated, stats.num_worker_restarts) == (12, 1)


def ray_answers(pool: "RayPool") -> str:
    """What its first worker says, which it does when it is back."""
    import ray

    worker = next(iter(pool.fleet._workers))
    try:
        return str(ray.get(worker.placed(), timeout=30))
    except ray.exceptions.RayActorError:
        return ""


def answers_with_one_poisonous(
    spec: WorkerSpec, examples: tuple[Example, ...], task: Path
) -> tuple[dict[int, Verdict | Failure], EvaluatorStats]:
    """Outcomes of six requests of one batch on one worker, the third of which is poisonous."""
    requests = [EvaluationRequest(request_id=i, example=examples[i], path=PATH) for i in range(6)]
    requests[2] = replace(requests[2], example=replace(examples[2], question="poison"))
    results: list[EvaluationResult] = []
    with closing(
        open_pool(replace(spec, task=str(task)), num_workers=1, requests_per_batch=6)
    ) as pool:
        pool.submit(requests)
        while len(results) < 6:
            results += pool.collect()
        return {result.request_id: result.outcome for result in results}, pool.stats()


def test_a_deadly_request_is_given_up_and_takes_no_other_with_it(
    spec: WorkerSpec, examples: tuple[Example, ...]
) -> None:
    from search_cluster.workers.group.suspects import MAX_ATTEMPTS

    outcomes, stats = answers_with_one_poisonous(spec, examples, POISON_TASK)
    deadly = outcomes.pop(2)
    assert isinstance(deadly, Failure)
    assert deadly.kind == "WorkerDied"
    assert all(isinstance(outcome, Verdict) for outcome in outcomes.values())
    assert stats.num_worker_restarts == MAX_ATTEMPTS
    assert (stats.num_evaluated, stats.num_failures) == (5, 1)


def test_a_request_that_breaks_its_device_is_given_up_and_no_other_fails_on_it(
    spec: WorkerSpec, examples: tuple[Example, ...], caplog: pytest.LogCaptureFixture
) -> None:
    from search_cluster.workers.group.suspects import MAX_ATTEMPTS

    outcomes, stats = answers_with_one_poisonous(spec, examples, BROKEN_TASK)
    broke = outcomes.pop(2)
    assert isinstance(broke, Failure)
    assert broke.kind == "DeviceBroken"
    assert "device cpu is broken: CUDA error: device-side assert triggered" in broke.message
    assert all(isinstance(outcome, Verdict) for outcome in outcomes.values())
    assert (stats.num_worker_restarts, stats.num_evaluated) == (MAX_ATTEMPTS, 5)
    assert "is given up: 3 devices broke of it" in caplog.text


def test_a_cluster_that_is_too_small_is_an_error_with_numbers(spec: WorkerSpec) -> None:
    message = (
        r"0 of 1 workers were ready after 2 s \(no place was found for the others\); "
        r"each asks for 999 CPU, and the "
        r"cluster has .* CPU free: add nodes, or ask for fewer --workers"
    )
    with pytest.raises(EvaluatorError, match=message):
        open_pool(replace(spec, num_threads=999), num_workers=1, placement_timeout_s=2)


def test_the_error_of_building_a_worker_keeps_its_type(spec: WorkerSpec) -> None:
    with pytest.raises(ModelError, match="there is no such folder"):
        open_pool(replace(spec, model="/no/such/folder"), num_workers=1)


def test_loading_warnings_of_workers_reach_the_driver(
    spec: WorkerSpec, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights = load_file(Path(spec.model) / "model.safetensors")
    folder = shutil.copytree(spec.model, tmp_path / "model")
    weights["v_head.weight"] = torch.ones(1)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with closing(open_pool(replace(spec, model=str(folder)), num_workers=1)) as pool:
        assert "v_head.weight first; they are left out" in pool.info.warnings[0]


def test_workers_with_different_models_are_refused() -> None:
    one = WorkerInfo(
        model=ModelIdentity(fingerprint="a", parts={"weights": "1", "tokenizer": "2"}),
        chat=False,
        num_layers=6,
        dtype="float32",
        device="cpu",
        tie_threshold=0.0,
        node="n",
    )
    other = ModelIdentity(fingerprint="b", parts={"weights": "1", "tokenizer": "3"})
    text = r"fingerprints a and b \(what differs: tokenizer\); all must hold the same one"
    with pytest.raises(EvaluatorError, match=text):
        require_alike([one, replace(one, model=other)])


def test_an_address_where_nothing_listens_is_an_error_at_once() -> None:
    from search_cluster.cluster.session import connect_ray, disconnect_ray

    disconnect_ray()
    try:
        with pytest.raises(EvaluatorError, match=r"^--ray is '127\.0\.0\.1:9', and nothing"):
            connect_ray("127.0.0.1:9", min_cpus=1)
    finally:
        connect_ray("local", min_cpus=4)


@pytest.mark.parametrize(
    ("mode", "why", "said"),
    [
        (
            "local",
            "The current node timed out during startup.\nMore.",
            "a private Ray did not start: The current node timed out during startup. More; use "
            "--ray none, which needs no Ray, if the machine is overloaded or out of memory",
        ),
        (
            "auto",
            "Could not find any running Ray instance. Please specify the one.",
            "no Ray cluster was found: Could not find any running Ray instance. Please specify the "
            "one; start a cluster (ray start --head), or use --ray local, which needs none",
        ),
        (
            "auto",
            "Version mismatch: The cluster was started with:\n    Ray: 2.50.0\n    Python: 3.12.1",
            "no Ray cluster was found: Version mismatch: The cluster was started with: Ray: 2.50.0 "
            "Python: 3.12.1; run the versions of Ray and Python that the cluster runs",
        ),
        (
            "auto",
            "Unauthenticated: InvalidAuthToken: Token is missing\n",
            "no Ray cluster was found: Unauthenticated: InvalidAuthToken: Token is missing; set "
            "RAY_AUTH_MODE=token and the cluster's token in RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH",
        ),
        ("auto", "", "no Ray cluster was found: Exception; look at the logs of the cluster's head "
            "(/tmp/ray/session_latest/logs) for the cause"),
    ],
)  # fmt: skip
def test_machine_what_ray_says_is_told_whole_with_one_advice(
    monkeypatch: pytest.MonkeyPatch, mode: str, why: str, said: str
) -> None:
    from search_cluster.cluster import session as ray_session

    def fail(**settings: object) -> None:
        raise Exception(why)

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray_session.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray_session.ray, "init", fail)
    with pytest.raises(EvaluatorError) as error:
        ray_session.connect_ray(mode, min_cpus=1)
    assert str(error.value) == said
