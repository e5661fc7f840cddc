"""Who gets which batch, and what becomes of one whose worker died: without a cluster.

Workers compute nothing. A batch takes a fixed time and a time per request on a clock that the test
turns.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import ray
from ray.exceptions import RayActorError
from support.worker_doubles import worker_info

from search_cluster.cluster.worker_group import WorkerGroup
from search_cluster.cluster.worker_handle import ReadyWorker
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.counters import EngineWork
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers.batch_size import BatchCost
from search_cluster.workers.group.suspects import MAX_ATTEMPTS
from search_cluster.workers.messages import BatchReport
from search_cluster.workers.wire import LinkIn, PackedBatch, pack_report

POISON = "poison"
INFO = worker_info()


COST = BatchCost(batch_s=0.3, request_s=0.002)


class Clock:
    now_s = 0.0


class Worker:
    """A handle whose calls follow each other, and die of a poisonous example."""

    def __init__(self, number: int, clock: Clock) -> None:
        self.number = number
        self.busy_s = 0.0
        self._clock = clock
        self._free_at_s = 0.0
        self._link = LinkIn()
        self.batches: list[list[EvaluationRequest]] = []

    def evaluate(self, batch: PackedBatch) -> "Call":
        requests = self._link.unpack(batch)
        self.batches.append(requests)
        taken_s = COST.seconds(len(requests))
        self.busy_s += taken_s
        self._free_at_s = max(self._free_at_s, self._clock.now_s) + taken_s
        return Call(requests, self._free_at_s, taken_s)


class Call:
    """The reference of a call."""

    def __init__(self, requests: list[EvaluationRequest], done_at_s: float, taken_s: float) -> None:
        self.requests = requests
        self.done_at_s = done_at_s
        self.is_taken = False
        self.calls_with_it: list[Call] = [self]
        """Those that run at the same time, and it."""
        self._share_s = taken_s / len(requests)

    def result(self) -> Any:
        calls = [call for call in self.calls_with_it if not call.is_taken]
        for call in calls:
            if any(request.example.question == POISON for request in call.requests):
                for lost in calls:
                    lost.is_taken = True
                raise RayActorError
        self.is_taken = True
        results = tuple(
            EvaluationResult(
                request_id=request.request_id,
                outcome=Verdict(reward=1.0, margin=None, output="", num_layer_tokens=1),
                device_busy_s=self._share_s,
            )
            for request in self.requests
        )
        return pack_report(BatchReport(results=results, work=EngineWork()))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()

    def wait(calls: Sequence[Call], *, timeout: float | None, **_: Any) -> tuple[Any, Any]:
        """Go on to the end of the first call; with the time-out 0 only look who else is done."""
        first = min(call.done_at_s for call in calls)
        clock.now_s = max(clock.now_s, first if timeout != 0 else 0.0)
        done = [call for call in calls if call.done_at_s <= clock.now_s]
        return done, [call for call in calls if call not in done]

    monkeypatch.setattr(ray, "wait", wait)
    monkeypatch.setattr(ray, "get", lambda call: call.result())
    return clock


@pytest.fixture
def worker(clock: Clock) -> Worker:
    return Worker(0, clock)


def join(group: WorkerGroup, worker: Worker) -> None:
    handle: Any = worker
    group.join(ReadyWorker(handle=handle, info=INFO, held_s=0.0))


def request(number: int, question: str) -> EvaluationRequest:
    example = Example(task="t", question=question, gold="g", split="train", source="test")
    return EvaluationRequest(request_id=number, example=example, path=LayerPath((0, 1), 2))


def results_of(
    worker: Worker, questions: Sequence[str], *, requests_per_batch: int
) -> list[EvaluationResult]:
    """All results; a dead worker is back at once, as it was."""
    group = WorkerGroup(requests_per_batch)
    join(group, worker)
    group.submit([request(number, question) for number, question in enumerate(questions)])
    results: list[EvaluationResult] = []
    while len(results) < len(questions):
        results += group.collect(timeout_s=0.01)
        for _ in group.take_lost():
            join(group, worker)
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
    # As many batches as requests in each, then each of these alone. Some are sent twice: what waits
    # behind a batch that kills was begun by nobody.
    assert len(worker.batches) <= 1 + 2 * (math.isqrt(num_requests) + 1) + 3


def test_two_that_kill_are_both_found(worker: Worker) -> None:
    questions = [f"q{number}" for number in range(200)]
    questions[3] = questions[4] = POISON
    results = results_of(worker, questions, requests_per_batch=200)
    failed = [item.request_id for item in results if isinstance(item.outcome, Failure)]
    assert sorted(failed) == [3, 4]


def search(
    group: WorkerGroup, num_examples: int, *, first_id: int = 0, num_rounds: int, leaves: int = 4
) -> None:
    """Ask for rounds of each example, the next one as soon as the last is answered."""
    questions: dict[int, str] = {}
    missing: dict[str, int] = {}
    rounds: Counter[str] = Counter()

    def start(question: str) -> None:
        rounds[question] += 1
        missing[question] = leaves
        ids = range(first_id + len(questions), first_id + len(questions) + leaves)
        questions.update(dict.fromkeys(ids, question))
        group.submit([request(number, question) for number in ids])

    for number in range(num_examples):
        start(f"q{number}")
    while sum(missing.values()):
        for result in group.collect(timeout_s=1.0):
            question = questions[result.request_id]
            missing[question] -= 1
            if not missing[question] and rounds[question] < num_rounds:
                start(question)


def test_few_requests_keep_all_workers_busy_that_learnt_large_batches(clock: Clock) -> None:
    workers = [Worker(number, clock) for number in range(4)]
    group = WorkerGroup()
    for one in workers:
        join(group, one)
    search(group, 2_000, num_rounds=6)
    assert max(len(batch) for one in workers for batch in one.batches) > 600
    started_s, busy_before_s = clock.now_s, [one.busy_s for one in workers]
    num_rounds, num_examples = 20, 60
    search(group, num_examples, first_id=10**6, num_rounds=num_rounds)
    taken_s = clock.now_s - started_s
    busy = [
        (one.busy_s - before_s) / taken_s
        for one, before_s in zip(workers, busy_before_s, strict=True)
    ]
    assert min(busy) > 0.8
    # Each worker has a quarter of the examples, all of whose rounds it could run together.
    at_best_s = num_rounds * COST.seconds(4 * num_examples / len(workers))
    assert taken_s < 2.0 * at_best_s


class OverlappingWorker(Worker):
    """A handle whose calls run at the same time: what kills it takes all of them with it."""

    def __init__(self, number: int, clock: Clock) -> None:
        super().__init__(number, clock)
        self.running: list[Call] = []
        self.company: list[list[list[EvaluationRequest]]] = []
        """The batches that were in flight whenever another one was sent, with that one."""

    def evaluate(self, batch: PackedBatch) -> "Call":
        call = super().evaluate(batch)
        self.running = [other for other in self.running if not other.is_taken]
        self.running.append(call)
        for other in self.running:
            other.calls_with_it = self.running
        self.company.append([other.requests for other in self.running])
        return call


def test_what_kills_is_tried_in_no_batch_s_company(clock: Clock) -> None:
    worker = OverlappingWorker(0, clock)
    questions = [f"q{number}" for number in range(60)]
    questions[3] = POISON
    results = results_of(worker, questions, requests_per_batch=10)
    assert sorted(result.request_id for result in results) == list(range(60))
    assert [item.request_id for item in results if isinstance(item.outcome, Failure)] == [3]
    first, *later = [
        [len(batch) for batch in company]
        for company in worker.company
        if any(request.request_id == 3 for batch in company for request in batch)
    ]
    assert first == [10]
    assert later[0] == [10, 10]  # both were accused of its death
    assert len(later) == MAX_ATTEMPTS
    assert later[1:] == [[4], [1]]  # with few others, alone
    assert any(len(company) == 2 for company in worker.company[-3:])  # all is well again


def test_suspects_wait_for_a_worker_without_work(clock: Clock) -> None:
    workers = [OverlappingWorker(number, clock) for number in range(2)]
    group = WorkerGroup(10)
    for one in workers:
        join(group, one)
    questions = [f"q{number}" for number in range(200)]
    questions[3] = POISON
    group.submit([request(number, question) for number, question in enumerate(questions)])
    results: list[EvaluationResult] = []
    while len(results) < 200:
        results += group.collect(timeout_s=0.01)
        for lost in group.take_lost():
            join(group, workers[lost.handle.number])
    failed = [item.request_id for item in results if isinstance(item.outcome, Failure)]
    assert failed == [3]
    assert sorted(item.request_id for item in results) == list(range(200))
    companies = [[len(batch) for batch in company] for one in workers for company in one.company]
    assert [1] in companies
    assert all(company == [1] or 1 not in company for company in companies)
