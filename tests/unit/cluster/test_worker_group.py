"""What becomes of a batch whose worker died, on workers that answer at once, without a cluster."""

from collections.abc import Sequence
from typing import Any

import pytest
import ray
from ray.exceptions import RayActorError

from search_cluster.cluster.worker_group import MAX_ATTEMPTS, MAX_SUSPECT_BATCHES, WorkerGroup
from search_cluster.cluster.worker_handle import ReadyWorker
from search_cluster.identity import ModelIdentity
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.counters import EngineWork
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers.messages import BatchReport, WorkerInfo
from search_cluster.workers.wire import LinkIn, PackedBatch, pack_report

POISON = "poison"
INFO = WorkerInfo(
    model=ModelIdentity(fingerprint="a"), chat=False, num_layers=2, dtype="float32", device="cpu",
    tie_threshold=0.0, node="n",
)  # fmt: skip


class Worker:
    """A handle whose calls are done at once, and die of a poisonous example."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._link = LinkIn()
        self.batches: list[list[EvaluationRequest]] = []

    def evaluate(self, batch: PackedBatch) -> "Call":
        requests = self._link.unpack(batch)
        self.batches.append(requests)
        return Call(requests)


class Call:
    """The reference of a call."""

    def __init__(self, requests: list[EvaluationRequest]) -> None:
        self._requests = requests

    def result(self) -> Any:
        if any(request.example.question == POISON for request in self._requests):
            raise RayActorError
        results = tuple(
            EvaluationResult(
                request_id=request.request_id,
                outcome=Verdict(reward=1.0, margin=None, output="", num_layer_tokens=1),
                device_busy_s=0.01,
            )
            for request in self._requests
        )
        return pack_report(BatchReport(results=results, work=EngineWork()))


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    def wait(calls: Sequence[Call], **_: Any) -> tuple[list[Call], list[Call]]:
        return list(calls[:1]), list(calls[1:])

    monkeypatch.setattr(ray, "wait", wait)
    monkeypatch.setattr(ray, "get", lambda call: call.result())
    return Worker(0)


def results_of(
    worker: Worker, questions: Sequence[str], *, requests_per_batch: int
) -> list[EvaluationResult]:
    """All results; a dead worker is back at once, as it was."""
    group = WorkerGroup(requests_per_batch)
    ready: Any = ReadyWorker(handle=worker, info=INFO, held_s=0.0)  # type: ignore[arg-type]
    group.join(ready)
    group.submit(
        [
            EvaluationRequest(
                request_id=number,
                example=Example(
                    task="t", question=question, gold="g", split="train", source="test"
                ),
                path=LayerPath((0, 1), 2),
            )
            for number, question in enumerate(questions)
        ]
    )
    results: list[EvaluationResult] = []
    while len(results) < len(questions):
        results += group.collect(timeout_s=0.01)
        for _ in group.take_lost():
            group.join(ready)
    return results


@pytest.mark.parametrize("num_requests", [6, 100, 1000])
def test_what_kills_is_found_in_few_batches_and_takes_no_other_with_it(
    worker: Worker, num_requests: int
) -> None:
    questions = [f"q{number}" for number in range(num_requests)]
    questions[3] = POISON
    results = results_of(worker, questions, requests_per_batch=1000)
    assert sorted(result.request_id for result in results) == list(range(num_requests))
    assert [item.request_id for item in results if isinstance(item.outcome, Failure)] == [3]
    deaths = [batch for batch in worker.batches if 3 in [item.request_id for item in batch]]
    assert len(deaths) == MAX_ATTEMPTS
    assert len(deaths[-1]) == 1
    per_group = -(-num_requests // MAX_SUSPECT_BATCHES)
    # Some are sent twice: what waits behind a batch that kills was begun by nobody.
    assert len(worker.batches) <= 1 + MAX_SUSPECT_BATCHES + per_group + 3


def test_two_that_kill_are_both_found(worker: Worker) -> None:
    questions = [f"q{number}" for number in range(200)]
    questions[3] = questions[4] = POISON
    results = results_of(worker, questions, requests_per_batch=200)
    failed = [item.request_id for item in results if isinstance(item.outcome, Failure)]
    assert sorted(failed) == [3, 4]
