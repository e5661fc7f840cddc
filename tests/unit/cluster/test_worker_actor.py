"""The actor of a real worker, called as Ray calls it: on one event loop."""

import asyncio
import threading

import pytest
from support.worker_doubles import worker_info

from search_cluster.cluster import worker_actor
from search_cluster.cluster.worker_actor import PathWorkerActor
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.counters import EngineWork
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers.messages import BatchReport, WorkerSpec
from search_cluster.workers.wire import LinkBrokenError, LinkOut, PackedReport, unpack_report

SPEC = WorkerSpec(
    model="", dtype="", device="", revision=None, trust_remote_code=False, chat="auto", task="",
    num_threads=1,
)  # fmt: skip
INFO = worker_info()
EXAMPLE = Example(task="t", question="q", gold="g", split="train", source="test")


class ProcessEndedError(Exception):
    """In its place."""


class MeetingWorker:
    """Answers a batch when another one is there, too; counts how often it was built."""

    num_built = 0

    def __init__(self, spec: WorkerSpec) -> None:
        type(self).num_built += 1
        self.info = INFO
        self._meeting = threading.Barrier(2)

    def evaluate(self, requests: list[EvaluationRequest]) -> BatchReport:
        self._meeting.wait(timeout=30)
        verdict = Verdict(reward=1.0, margin=None, output="", num_layer_tokens=1)
        results = tuple(
            EvaluationResult(request_id=request.request_id, outcome=verdict) for request in requests
        )
        return BatchReport(results=results, work=EngineWork())


@pytest.fixture(autouse=True)
def _worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MeetingWorker, "num_built", 0)
    monkeypatch.setattr(worker_actor, "PathWorker", MeetingWorker)


def test_two_batches_run_at_the_same_time_and_the_actor_answers_meanwhile() -> None:
    link = LinkOut()
    batches = [
        link.pack(
            [EvaluationRequest(request_id=number, example=EXAMPLE, path=LayerPath((0, 1), 2))]
        )
        for number in range(2)
    ]

    async def call_all() -> list[PackedReport]:
        actor = PathWorkerActor(SPEC)
        await asyncio.gather(actor.info(0), actor.info(0))
        first = asyncio.create_task(actor.evaluate(0, batches[1]))  # Ray promises no order
        await asyncio.sleep(0)
        assert await asyncio.wait_for(actor.placed(), timeout=10)
        assert not first.done()
        return await asyncio.gather(first, actor.evaluate(0, batches[0]))

    reports = [unpack_report(report) for report in asyncio.run(call_all())]
    assert [[item.request_id for item in report.results] for report in reports] == [[1], [0]]
    assert MeetingWorker.num_built == 1


def test_a_worker_that_was_not_built_refuses_batches() -> None:
    request = EvaluationRequest(request_id=0, example=EXAMPLE, path=LayerPath((0, 1), 2))
    actor = PathWorkerActor(SPEC)
    with pytest.raises(LinkBrokenError, match="ask for its info"):
        asyncio.run(actor.evaluate(0, LinkOut().pack([request])))


def test_code_of_a_task_that_exits_ends_the_process_and_not_only_its_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def leave(self: MeetingWorker, requests: list[EvaluationRequest]) -> BatchReport:
        raise SystemExit(3)

    def end(code: int) -> None:
        raise ProcessEndedError(code)

    monkeypatch.setattr(MeetingWorker, "evaluate", leave)
    monkeypatch.setattr(worker_actor.os, "_exit", end)
    request = EvaluationRequest(request_id=0, example=EXAMPLE, path=LayerPath((0, 1), 2))

    async def call() -> None:
        actor = PathWorkerActor(SPEC)
        await actor.info(0)
        await actor.evaluate(0, LinkOut().pack([request]))

    with pytest.raises(ProcessEndedError, match="1"):
        asyncio.run(call())
