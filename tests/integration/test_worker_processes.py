"""Worker processes of this machine that die, hang or break are replaced; the answers are the same.

They hold a tiny model on the CPU; a task raises what a broken accelerator does.
"""

import dataclasses
import logging
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.command import run_json
from support.fault_tools import has_ended

from search_cluster.driver import pools
from search_cluster.errors import EvaluatorError, ModelError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.tasks.registry import get_task
from search_cluster.workers.local_pool import LocalPool
from search_cluster.workers.messages import WorkerSpec
from search_cluster.workers.processes.fleet import ProcessFleet
from search_cluster.workers.processes.pool import ProcessPool

DATA = Path(__file__).parent / "data"
NUM_LAYERS = 6
NUM_REQUESTS = 120


@pytest.fixture
def spec(model_dir: str, tmp_path: Path) -> WorkerSpec:
    task = str(shutil.copy(DATA / "fragile_task.py", tmp_path))
    return WorkerSpec(
        model=model_dir, dtype="float32", device="cpu", revision=None, trust_remote_code=False,
        chat="auto", task=task, num_threads=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def requests() -> list[EvaluationRequest]:
    examples = get_task("capitals").load("train", None).examples[: NUM_REQUESTS // NUM_LAYERS]
    whole = range(NUM_LAYERS)
    paths = [LayerPath(tuple(at for at in whole if at != cut), NUM_LAYERS) for cut in whole]
    return [
        EvaluationRequest(request_id=number, example=example, path=path)
        for number, (example, path) in enumerate((e, p) for e in examples for p in paths)
    ]


@pytest.fixture(scope="module")
def undisturbed(model_dir: str, requests: list[EvaluationRequest]) -> dict[int, Any]:
    spec = WorkerSpec(
        model=model_dir, dtype="float32", device="cpu", revision=None, trust_remote_code=False,
        chat="auto", task="capitals", num_threads=1,
    )  # fmt: skip
    with closing(LocalPool(spec)) as pool:
        return outcomes(pool, requests)


def open_processes(spec: WorkerSpec, num_processes: int, **settings: Any) -> Any:
    fleet = ProcessFleet(spec, ["cpu"] * num_processes, settings.pop("num_workers", num_processes))
    defaults: dict[str, Any] = {
        "requests_per_batch": 6, "placement_timeout_s": 300.0, "worker_timeout_s": 1800.0
    }  # fmt: skip
    return closing(ProcessPool(fleet, **defaults | settings))


def outcomes(
    pool: Any,
    requests: list[EvaluationRequest],
    watch: Callable[[int], None] = lambda num_done: None,
) -> dict[int, Any]:
    """What became of each request, with a look after each collection."""
    pool.submit(requests)
    results: dict[int, EvaluationResult] = {}
    while len(results) < len(requests):
        new = pool.collect(timeout_s=1.0)
        assert not {item.request_id for item in new} & results.keys()
        results |= {item.request_id: item for item in new}
        watch(len(results))
    return {number: result.outcome for number, result in results.items()}


def children() -> list[psutil.Process]:
    """The worker processes of this one."""
    found = psutil.Process().children()
    return [one for one in found if any("processes.serving" in part for part in one.cmdline())]


class Once:
    """Disturbs one worker process when so many requests were answered."""

    def __init__(self, disturb: Callable[[psutil.Process], None], after: int = 20) -> None:
        self._disturb = disturb
        self._after = after
        self.victims: list[psutil.Process] = []

    def __call__(self, num_done: int) -> None:
        if num_done >= self._after and not self.victims:
            self.victims.append(children()[0])
            self._disturb(self.victims[0])


def test_workers_of_two_processes_answer_as_threads_do_and_end_with_their_pool(
    spec: WorkerSpec, requests: list[EvaluationRequest], undisturbed: dict[int, Any]
) -> None:
    with open_processes(spec, 2, num_workers=3) as pool:
        assert len(children()) == 2
        assert outcomes(pool, requests) == undisturbed
        stats = pool.stats()
        processes = children()
    assert [worker.worker for worker in stats.workers] == [0, 1, 2]
    assert stats.num_worker_restarts == 0
    assert all(map(has_ended, processes))


@pytest.mark.parametrize("num_processes", [1, 2])
def test_a_process_that_is_killed_is_replaced(
    spec: WorkerSpec,
    requests: list[EvaluationRequest],
    undisturbed: dict[int, Any],
    num_processes: int,
    tmp_path: Path,
) -> None:
    (tmp_path / "pause_s").write_text("0.02")
    kill = Once(psutil.Process.kill)
    with open_processes(spec, num_processes, num_workers=2) as pool:
        assert outcomes(pool, requests, kill) == undisturbed
        assert pool.stats().num_worker_restarts >= 1
        assert len(children()) == num_processes
    assert kill.victims


def test_a_process_that_hangs_is_killed_and_replaced(
    spec: WorkerSpec, requests: list[EvaluationRequest], undisturbed: dict[int, Any], tmp_path: Path
) -> None:
    (tmp_path / "pause_s").write_text("0.02")
    stop = Once(psutil.Process.suspend)
    with open_processes(spec, 2, worker_timeout_s=5.0) as pool:
        assert outcomes(pool, requests, stop) == undisturbed
        assert pool.stats().num_worker_restarts >= 1
    assert has_ended(stop.victims[0])


def test_a_device_that_breaks_once_leaves_no_failure(
    spec: WorkerSpec, requests: list[EvaluationRequest], undisturbed: dict[int, Any], tmp_path: Path
) -> None:
    disturb = Once(lambda _: (tmp_path / "break").touch())
    (tmp_path / "pause_s").write_text("0.02")
    with open_processes(spec, 1) as pool:
        assert outcomes(pool, requests, disturb) == undisturbed
        assert pool.stats().num_worker_restarts >= 1
    assert not (tmp_path / "break").exists()


def test_a_device_that_breaks_three_times_is_given_up_in_one_line_and_accuses_no_request(
    spec: WorkerSpec,
    requests: list[EvaluationRequest],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    disturb = Once(lambda _: (tmp_path / "broken").touch())
    (tmp_path / "pause_s").write_text("0.02")
    with (
        open_processes(spec, 1) as pool,
        pytest.raises(
            EvaluatorError,
            match=r"^no worker is left: 0 of 1 workers are ready \(device cpu failed 3 times, at "
            r"last: device cpu is broken: CUDA error: an illegal .*; nothing found is lost: run",
        ) as error,
    ):
        outcomes(pool, requests, disturb)
    assert "\n" not in str(error.value)
    assert pool.stats().num_failures == 0
    (line,) = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert line.startswith("the worker process on cpu is not started again: device cpu failed 3 ")


def test_a_question_that_kills_every_process_is_named_and_takes_no_other_with_it(
    spec: WorkerSpec, requests: list[EvaluationRequest], undisturbed: dict[int, Any], tmp_path: Path
) -> None:
    task = str(shutil.copy(DATA / "poison_task.py", tmp_path))
    victim = requests[0].example
    (tmp_path / "poison").write_text(victim.question)
    few = [
        item
        for item in requests
        if item.example.question != victim.question or item.request_id == 0
    ]
    with open_processes(dataclasses.replace(spec, task=task), 1) as pool:
        found = outcomes(pool, few)
    failure = found.pop(0)
    assert isinstance(failure, Failure)
    assert failure.kind == "WorkerDied"
    assert failure.message == "3 workers died of it: its process ended with exit code 1"
    assert found == {number: undisturbed[number] for number in found}


def test_what_building_a_worker_raises_is_raised_here(spec: WorkerSpec, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no-such-model"):
        open_processes(dataclasses.replace(spec, model=str(tmp_path / "no-such-model")), 1)
    assert not children()


@pytest.fixture
def with_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches of this process have their workers in others, as on a machine with a GPU."""
    monkeypatch.setattr(pools, "has_processes", lambda config: True)


@pytest.mark.usefixtures("with_processes")
def test_a_search_without_ray_goes_on_when_its_worker_is_killed(
    model_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = str(shutil.copy(DATA / "fragile_task.py", tmp_path))
    flags = [
        "search-cluster", "search", "--model", model_dir, "--task", task, "--limit", "8",
        "--budget", "8", "--ray", "none", "--redis-url", "none", "--device", "cpu",
    ]  # fmt: skip
    collect = ProcessPool.collect
    kill = Once(psutil.Process.kill, after=1)

    def disturbed(self: ProcessPool, timeout_s: float | None = None) -> list[EvaluationResult]:
        results = collect(self, timeout_s)
        kill(len(results))
        return results

    whole = run_json(*flags, "--run", str(tmp_path / "whole"))
    monkeypatch.setattr(ProcessPool, "collect", disturbed)
    result = run_json(*flags, "--run", str(tmp_path / "disturbed"))
    assert kill.victims
    assert result["corpus_digest"] == whole["corpus_digest"]
    assert (result["failures"], result["worker_restarts"]) == (0, 1)
    assert not children()
