"""Threads share an engine: who joins, who drives, and who is told of what went wrong.

No test waits for luck: a hook in the engine's step lets another call join at a stated moment.
"""

import _thread
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from support.command import wait_for
from support.model_doubles import GenerateTask, loaded_tiny

from search_cluster.model.engine import admission as admission_module
from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.model.engine.jobs import Job
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import EvaluationRequest, Failure
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Prompt
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers import path_worker, shared_engine
from search_cluster.workers.messages import MATERIALISED, BatchReport, WorkerSpec
from search_cluster.workers.path_worker import PathWorker
from search_cluster.workers.shared_engine import SharedEngine

pytestmark = pytest.mark.timeout(60)
"""What waits forever fails soon."""
PATHS = [
    LayerPath(layers, 6)
    for layers in ((0, 1, 2, 3, 4, 5), (0, 2, 4), (0, 1, 1, 5), (3, 1, 5), (0, 1, 2, 2, 5), (5,))
]
POISON = LayerPath((4, 4, 0), 6)
"""An engine's step that has this path raises an error."""
BROKEN = "a question that the task's own code can't ask"


class SumTask(GenerateTask):
    """Answers end early where one of a few letters comes, so that their lengths differ."""

    def prompt(self, example: Example) -> Prompt:
        if example.question == BROKEN:
            raise RuntimeError("no prompt")
        return super().prompt(example)


TASK = SumTask(max_new_tokens=24, stop_strings=("a", "e", "5", "%"))
SPEC = WorkerSpec(
    model="tiny", dtype="float32", device="cpu", revision=None, trust_remote_code=False,
    chat="auto", task="sums", num_threads=1,
)  # fmt: skip


def example(question: str) -> Example:
    return Example(task="sums", question=question, gold="2", split="test", source="built-in")


def requests_of(
    questions: Sequence[str], paths: Sequence[LayerPath] = PATHS, *, first_id: int = 0
) -> list[EvaluationRequest]:
    pairs = [(question, path) for question in questions for path in paths]
    return [
        EvaluationRequest(request_id=first_id + place, example=example(question), path=path)
        for place, (question, path) in enumerate(pairs)
    ]


FIRST = requests_of(["1+1=", "What is the number?"])
SECOND = requests_of(["2+3=", "1+1="], [*PATHS[:3], LayerPath((0, 2, 5), 6)], first_id=100)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return loaded_tiny()


@pytest.fixture(autouse=True)
def _task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_worker, "get_task", lambda spec: TASK)


@pytest.fixture
def worker(loaded: LoadedModel) -> PathWorker:
    return PathWorker(SPEC, loaded)


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    wants_of = admission_module.wants_of

    def wants(jobs: Sequence[Job], **settings: Any) -> Any:
        if any(job.path == POISON for job in jobs):
            raise RuntimeError("too much")
        return wants_of(jobs, **settings)

    monkeypatch.setattr(admission_module, "wants_of", wants)


def engine_of(worker: PathWorker) -> SharedEngine:
    engine = worker._engines[0]
    assert engine is not None
    return engine


def executor_of(worker: PathWorker) -> PathExecutor:
    return engine_of(worker)._executor


def in_step(worker: PathWorker, number: int, action: Callable[[], None]) -> None:
    """Let the engine's step of that number, from 1, begin with an action."""
    executor = executor_of(worker)
    step = executor.step
    count = 0

    def hooked() -> dict[int, Outcome]:
        nonlocal count
        count += 1
        if count == number:
            action()
        return step()

    executor.step = hooked  # type: ignore[method-assign]


def overlapping(
    worker: PathWorker,
    first: Sequence[EvaluationRequest],
    second: Sequence[EvaluationRequest],
    *,
    at_step: int = 3,
) -> tuple[BatchReport, BatchReport]:
    """The reports of two batches, the second of which comes while the first one runs."""
    with ThreadPoolExecutor(2) as threads:
        later: list[Future[BatchReport]] = []

        def join() -> None:
            later.append(threads.submit(worker.evaluate, second))
            wait_for(lambda: bool(engine_of(worker)._joining))

        in_step(worker, at_step, join)
        earlier = threads.submit(worker.evaluate, first)
        return earlier.result(timeout=60), later[0].result(timeout=60)


def outcomes_of(report: BatchReport) -> list[Any]:
    return [result.outcome for result in report.results]


def expected(loaded: LoadedModel, requests: Sequence[EvaluationRequest]) -> list[Outcome]:
    """What an engine of their own says of the requests, each alone."""
    executor = PathExecutor(loaded, TASK)
    return [executor.evaluate([(item.example, item.path)])[0] for item in requests]


def lengths_of(requests: Sequence[EvaluationRequest], outcomes: Sequence[Any]) -> set[float]:
    return {
        outcome.num_layer_tokens / len(request.path)
        for request, outcome in zip(requests, outcomes, strict=True)
    }


def test_batches_that_overlap_get_the_verdicts_of_separate_ones_in_fewer_calls(
    loaded: LoadedModel, worker: PathWorker
) -> None:
    separate = PathWorker(SPEC, loaded)
    first, second = separate.evaluate(FIRST), separate.evaluate(SECOND)
    assert len(lengths_of(FIRST, outcomes_of(first))) > 4
    assert outcomes_of(first) == expected(loaded, FIRST)
    reports = overlapping(worker, FIRST, SECOND)
    assert [outcomes_of(report) for report in reports] == [outcomes_of(first), outcomes_of(second)]
    assert [[item.request_id for item in report.results] for report in reports] == [
        [item.request_id for item in FIRST],
        [item.request_id for item in SECOND],
    ]
    num_calls = executor_of(worker).counters.layer_calls
    assert num_calls < 0.8 * executor_of(separate).counters.layer_calls


def test_work_is_reported_once_and_time_is_shared_by_what_was_in_flight(
    worker: PathWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    executor = executor_of(worker)
    step = executor.step
    sizes: list[dict[int, int]] = []

    def slow() -> dict[int, Outcome]:
        nonlocal now_s
        now_s += 1.0
        sizes.append({id(call.requests): call.num_open for call in engine_of(worker)._in_flight})
        return step()

    executor.step = slow  # type: ignore[method-assign]
    monkeypatch.setattr(shared_engine.time, "perf_counter", lambda: now_s)
    first, second = overlapping(worker, FIRST, SECOND[:3])
    busy_s = [sum(item.device_busy_s for item in report.results) for report in (first, second)]
    assert sum(busy_s) == pytest.approx(now_s)
    assert any(len(size) == 2 for size in sizes)
    of_second = [list(size.values())[-1] / sum(size.values()) for size in sizes if len(size) == 2]
    alone = sum(len(size) == 1 for size in sizes[3:])
    assert sum(of_second) <= busy_s[1] <= sum(of_second) + alone
    assert first.work.plus(second.work).num_layer_runs == executor.counters.layer_runs > 0


def test_a_batch_that_the_task_cannot_ask_leaves_the_other_alone(
    loaded: LoadedModel, worker: PathWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone: list[str] = []
    run_alone = SharedEngine.run_alone

    def noted(self: SharedEngine, request: tuple[Example, LayerPath]) -> Any:
        alone.append(request[0].question)
        return run_alone(self, request)

    monkeypatch.setattr(SharedEngine, "run_alone", noted)
    broken = requests_of([BROKEN, "2+2="], PATHS[:2])
    first, second = overlapping(worker, FIRST, broken)
    assert outcomes_of(first) == expected(loaded, FIRST)
    failure = Failure(kind="RuntimeError", message="no prompt")
    assert outcomes_of(second) == [failure, failure, *expected(loaded, broken[2:])]
    assert alone == [BROKEN, BROKEN, "2+2=", "2+2="]


@pytest.mark.usefixtures("poison")
def test_an_error_of_a_step_costs_neither_batch_more_than_the_request_that_raises_it(
    loaded: LoadedModel, worker: PathWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = PathExecutor.evaluate
    alone: list[LayerPath] = []

    def noted(self: PathExecutor, requests: Sequence[tuple[Example, LayerPath]]) -> list[Outcome]:
        assert self.is_idle
        alone.extend(path for _, path in requests)
        return evaluate(self, requests)

    monkeypatch.setattr(PathExecutor, "evaluate", noted)
    monkeypatch.delattr(path_worker, "evaluate_path")
    poisoned = [*SECOND[:2], *requests_of(["2+3="], [POISON]), *SECOND[2:]]
    first, second = overlapping(worker, FIRST, poisoned)
    answered = len(FIRST) + len(poisoned) - len(alone)
    assert 0 <= answered < len(FIRST)  # some had their answers before
    assert POISON in alone
    failure = Failure(kind="RuntimeError", message="too much")
    monkeypatch.setattr(PathExecutor, "evaluate", evaluate)
    assert outcomes_of(first) == expected(loaded, FIRST)
    assert outcomes_of(second) == [
        *expected(loaded, SECOND[:2]), failure, *expected(loaded, SECOND[2:])
    ]  # fmt: skip


def test_an_exit_inside_a_step_ends_its_own_thread_and_no_other(
    loaded: LoadedModel, worker: PathWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    wants_of = admission_module.wants_of
    leaving = threading.Event()

    def wants(*args: Any, **settings: Any) -> Any:
        if leaving.is_set():
            leaving.clear()
            raise SystemExit(3)
        return wants_of(*args, **settings)

    monkeypatch.setattr(admission_module, "wants_of", wants)
    later: list[Future[BatchReport]] = []
    with ThreadPoolExecutor(2) as threads:

        def join() -> None:
            later.append(threads.submit(worker.evaluate, SECOND))
            wait_for(lambda: bool(engine_of(worker)._joining))

        in_step(worker, 5, leaving.set)
        in_step(worker, 3, join)
        earlier = threads.submit(worker.evaluate, FIRST)
        with pytest.raises(SystemExit):
            earlier.result(timeout=60)
        assert outcomes_of(later[0].result(timeout=60)) == expected(loaded, SECOND)
    assert outcomes_of(worker.evaluate(FIRST)) == expected(loaded, FIRST)


def test_a_thread_that_is_interrupted_while_it_waits_is_not_waited_for(
    loaded: LoadedModel, worker: PathWorker
) -> None:
    engine = engine_of(worker)
    started, interrupted = threading.Event(), threading.Event()

    def hold_at_first() -> None:
        started.set()
        wait_for(lambda: bool(engine._joining))

    def interrupt() -> None:
        assert len(engine._in_flight) == 2
        _thread.interrupt_main()
        assert interrupted.wait(60)

    in_step(worker, 3, interrupt)
    in_step(worker, 1, hold_at_first)
    short, one = FIRST[5:6], SECOND[0]
    with ThreadPoolExecutor(1) as threads:
        earlier = threads.submit(worker.evaluate, short)
        assert started.wait(60)
        with pytest.raises(KeyboardInterrupt):
            worker.evaluate(SECOND)
        interrupted.set()
        assert outcomes_of(earlier.result(timeout=60)) == expected(loaded, short)
        assert not executor_of(worker).is_idle  # what nobody waits for is still there
        alone = threads.submit(engine.run_alone, (one.example, one.path))
        assert alone.result(timeout=60).outcomes[0] == expected(loaded, [one])[0]
    assert outcomes_of(worker.evaluate(SECOND)) == expected(loaded, SECOND)


def test_who_wants_to_be_alone_waits_for_what_runs_and_goes_before_what_has_not_begun(
    worker: PathWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, executor = engine_of(worker), executor_of(worker)
    submit, evaluate = executor.submit, executor.evaluate
    order: list[str] = []

    def noted_submit(requests: Sequence[tuple[Example, LayerPath]]) -> list[int]:
        order.append(requests[0][0].question)
        return submit(requests)

    def noted_evaluate(requests: Sequence[tuple[Example, LayerPath]]) -> list[Outcome]:
        assert engine._num_in_flight() == 0
        order.append("alone")
        return evaluate(requests)

    monkeypatch.setattr(executor, "submit", noted_submit)
    monkeypatch.setattr(executor, "evaluate", noted_evaluate)
    one = SECOND[0]
    with ThreadPoolExecutor(5) as threads:
        futures: list[Future[Any]] = []

        def others_come() -> None:
            futures.append(threads.submit(engine.run_alone, (one.example, one.path)))
            wait_for(lambda: bool(engine._alone))
            later = requests_of(["later"], PATHS[:1])
            futures.extend(threads.submit(worker.evaluate, later) for _ in range(3))
            wait_for(lambda: len(engine._joining) == 3)

        in_step(worker, 2, others_come)
        futures.append(threads.submit(worker.evaluate, FIRST))
        assert len(futures[-1].result(timeout=60).results) == len(FIRST)
        for future in futures:
            future.result(timeout=60)
    assert order == ["1+1=", "alone", SECOND[0].example.question, "later", "later", "later"]


def test_a_driver_s_own_call_joins_an_idle_engine_whoever_wants_to_be_alone(
    worker: PathWorker,
) -> None:
    engine = engine_of(worker)
    next_to_join = engine._next_to_join
    one = SECOND[0]
    with ThreadPoolExecutor(2) as threads:
        alone: list[Future[Any]] = []

        def late() -> Any:
            if not alone:
                alone.append(threads.submit(engine.run_alone, (one.example, one.path)))
                wait_for(lambda: bool(engine._alone))
            return next_to_join()

        engine._next_to_join = late  # type: ignore[method-assign]
        report = threads.submit(worker.evaluate, FIRST).result(timeout=60)
        assert all(isinstance(outcome, Verdict) for outcome in outcomes_of(report))
        assert isinstance(alone[0].result(timeout=60).outcomes[0], Verdict)


@pytest.mark.usefixtures("poison")
def test_many_threads_get_what_is_theirs(loaded: LoadedModel, worker: PathWorker) -> None:
    rng = random.Random(5)
    pool = requests_of(["1+1=", "2+3=", "What is the number?", "2*2="])
    known = dict(zip((id(item) for item in pool), expected(loaded, pool), strict=True))
    bad = requests_of(["1+1="], [POISON]) + requests_of([BROKEN], PATHS[:1])
    kinds = {id(bad[0]): "too much", id(bad[1]): "no prompt"}
    batches = [
        [rng.choice(bad if rng.random() < 0.02 else pool) for _ in range(rng.randint(1, 12))]
        for _ in range(40)
    ]
    assert sum(id(item) in kinds for batch in batches for item in batch) > 2
    started_s = time.perf_counter()
    with ThreadPoolExecutor(4) as threads:
        reports = list(threads.map(worker.evaluate, batches, timeout=120))
    taken_s = time.perf_counter() - started_s
    for batch, report in zip(batches, reports, strict=True):
        for item, outcome in zip(batch, outcomes_of(report), strict=True):
            if id(item) in kinds:
                assert outcome == Failure(kind="RuntimeError", message=kinds[id(item)])
            else:
                assert outcome == known[id(item)]
    assert sum(item.device_busy_s for report in reports for item in report.results) <= taken_s
    num_runs = sum(report.work.num_layer_runs for report in reports)
    assert num_runs == executor_of(worker).counters.layer_runs


def test_the_materialised_model_is_used_by_one_thread_at_a_time(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = threading.Semaphore(1)

    def alone(*_: object) -> Verdict:
        assert inside.acquire(blocking=False)
        time.sleep(0.001)
        inside.release()
        return Verdict(reward=1.0, margin=None, output="", num_layer_tokens=1)

    monkeypatch.setattr(path_worker, "evaluate_path", alone)
    plain = PathWorker(replace(SPEC, executor=MATERIALISED), loaded)
    with ThreadPoolExecutor(2) as threads:
        reports = list(threads.map(plain.evaluate, [FIRST, SECOND]))
    assert all(isinstance(item, Verdict) for report in reports for item in outcomes_of(report))
