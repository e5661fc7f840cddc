"""The pool of this process learns how many requests its threads are fast with."""

import threading
import time
from collections import Counter
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from support.command import wait_for

from search_cluster.errors import DeviceBrokenError, EvaluatorError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.counters import EngineWork
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers import shared_model
from search_cluster.workers.batch_size import MIN_REQUESTS
from search_cluster.workers.local_pool import LocalPool
from search_cluster.workers.messages import BatchReport, WorkerSpec

PATH = LayerPath((0, 1), 2)
EXAMPLES = [
    Example(task="t", question=f"q{i}", gold="g", split="train", source="test") for i in range(40)
]
SPEC = WorkerSpec(
    model="", dtype="", device="", revision=None, trust_remote_code=False, chat="auto", task="",
    num_threads=1,
)  # fmt: skip


class PricedWorker:
    """Says that a batch took a fixed time and a time per request; computes nothing."""

    sizes: list[int]

    def __init__(self, spec: WorkerSpec, **shared: Any) -> None:
        self.loaded = self.failure_log = self.meter = None
        self.info: Any = SimpleNamespace(node="n", device="cpu", device_share=1.0)

    def evaluate(self, requests: list[EvaluationRequest]) -> BatchReport:
        self.sizes.append(len(requests))
        share_s = (0.3 + 0.002 * len(requests)) / len(requests)
        results = tuple(
            EvaluationResult(
                request_id=request.request_id,
                outcome=Verdict(reward=1.0, margin=None, output="", num_layer_tokens=1),
                device_busy_s=share_s,
            )
            for request in requests
        )
        return BatchReport(results=results, work=EngineWork())


class MeetingWorker(PricedWorker):
    """Answers a batch when another one is there, too."""

    meeting: threading.Barrier

    def evaluate(self, requests: list[EvaluationRequest]) -> BatchReport:
        self.meeting.wait(timeout=30)
        return super().evaluate(requests)


class HeldWorker(PricedWorker):
    """Answers when it may; says which worker has which batches by then."""

    may_answer: threading.Event
    held: list[int]

    def evaluate(self, requests: list[EvaluationRequest]) -> BatchReport:
        self.held.append(id(self))
        assert self.may_answer.wait(timeout=30)
        return super().evaluate(requests)


class LeavingWorker(PricedWorker):
    """Runs code of a task that exits."""

    def evaluate(self, requests: list[EvaluationRequest]) -> BatchReport:
        raise SystemExit("no more")


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that workers were given."""
    monkeypatch.setattr(PricedWorker, "sizes", [], raising=False)
    monkeypatch.setattr(shared_model, "PathWorker", PricedWorker)
    return PricedWorker.sizes


def ask_all(pool: LocalPool, num_requests: int) -> list[int]:
    """Keep as many in flight as the pool says; the ids that were answered."""
    answered: list[int] = []
    asked = 0
    while len(answered) < num_requests:
        room = min(num_requests, len(answered) + pool.max_in_flight) - asked
        if room > 0:
            pool.submit(
                [
                    EvaluationRequest(
                        request_id=asked + i, example=EXAMPLES[(asked + i) % 40], path=PATH
                    )
                    for i in range(room)
                ]
            )
            asked += room
        answered += [result.request_id for result in pool.collect()]
    return answered


def answers_of(pool: LocalPool, num_requests: int) -> list[int]:
    """The ids of so many answers to what was asked before, sorted."""
    answered: list[int] = []
    while len(answered) < num_requests:
        answered += [result.request_id for result in pool.collect()]
    return sorted(answered)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_batches_grow_where_they_cost_a_fixed_time(sizes: list[int], num_workers: int) -> None:
    with closing(LocalPool(SPEC, num_workers=num_workers)) as pool:
        answered = ask_all(pool, 20_000)
    assert sorted(answered) == list(range(20_000))
    assert sizes[0] <= MIN_REQUESTS
    assert 600 < max(sizes) <= 1024


def test_a_given_size_is_kept_to(sizes: list[int]) -> None:
    with closing(LocalPool(SPEC, requests_per_batch=7)) as pool:
        answered = ask_all(pool, 100)
    assert sorted(answered) == list(range(100))
    assert max(sizes) == 7


def test_two_batches_of_a_worker_run_at_the_same_time(
    sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MeetingWorker, "meeting", threading.Barrier(2), raising=False)
    monkeypatch.setattr(shared_model, "PathWorker", MeetingWorker)
    with closing(LocalPool(SPEC, requests_per_batch=5)) as pool:
        assert pool.max_in_flight == 10
        answered = ask_all(pool, 10)
    assert sorted(answered) == list(range(10))
    assert sizes == [5, 5]


def test_a_busy_worker_leaves_the_others_their_examples(
    sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    may_answer, held = threading.Event(), list[int]()
    monkeypatch.setattr(HeldWorker, "may_answer", may_answer, raising=False)
    monkeypatch.setattr(HeldWorker, "held", held, raising=False)
    monkeypatch.setattr(shared_model, "PathWorker", HeldWorker)
    requests = [
        EvaluationRequest(request_id=number, example=EXAMPLES[number % 2], path=PATH)
        for number in range(6)
    ]
    with closing(LocalPool(SPEC, num_workers=2, requests_per_batch=1)) as pool:
        try:
            pool.submit(requests[:2])
            wait_for(lambda: len(held) == 2)
            pool.submit(requests[2::2])  # of one example: its worker takes one, and one waits
            wait_for(lambda: len(held) >= 3)
            time.sleep(0.1)  # nothing more happens
            assert sorted(Counter(held).values()) == [1, 2]
        finally:
            may_answer.set()
        pool.submit(requests[3::2])
        answered = answers_of(pool, 6)
    assert answered == list(range(6))


@pytest.mark.timeout(60)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_whoever_waits_is_told_that_a_thread_was_ended(
    sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_model, "PathWorker", LeavingWorker)
    with (
        closing(LocalPool(SPEC)) as pool,
        pytest.raises(EvaluatorError, match=r"ended by SystemExit: no more; nothing found is lost"),
    ):
        ask_all(pool, 1)


class BrokenWorker(PricedWorker):
    """Has a device that breaks with the second batch."""

    def evaluate(self, requests: list[EvaluationRequest]) -> BatchReport:
        if len(self.sizes) >= 1:
            raise DeviceBrokenError("device cuda is broken: CUDA error: scripted")
        return super().evaluate(requests)


def test_a_broken_device_ends_the_run_in_one_line(
    sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_model, "PathWorker", BrokenWorker)
    text = r"^device cuda is broken: CUDA error: scripted; nothing found is lost: run the same comm"
    with (
        closing(LocalPool(SPEC, requests_per_batch=1)) as pool,
        pytest.raises(DeviceBrokenError, match=text),
    ):
        ask_all(pool, 9)
