import errno
from dataclasses import replace
from typing import Any

import pytest
import torch
from support import tiny
from support.model_doubles import CAPITAL, ChoiceTask, loaded_tiny

from search_cluster.errors import DeviceBrokenError
from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.engine.flops import FlopRates
from search_cluster.model.engine.rechecks import TIE_THRESHOLDS
from search_cluster.model.engine.scheduler import Scheduler
from search_cluster.model.kernels import kernels_of
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import EvaluationRequest, Failure
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers.messages import ENGINE, MATERIALISED, WorkerSpec
from search_cluster.workers.path_worker import PathWorker

PATHS = [LayerPath(layers, 6) for layers in ((0, 1, 2, 3, 4, 5), (0, 2, 4), (0, 1, 1, 5))]
REQUESTS = [
    EvaluationRequest(request_id=number, example=CAPITAL, path=path)
    for number, path in enumerate(PATHS)
]


@pytest.fixture(autouse=True)
def task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search_cluster.workers.path_worker.get_task", lambda spec: ChoiceTask())


def worker(
    loaded: LoadedModel | None = None, executor: str = ENGINE, tie_threshold: float | None = None
) -> PathWorker:
    spec = WorkerSpec(
        model="tiny", dtype="float32", device="cpu", revision=None, trust_remote_code=False,
        chat="auto", task="capitals", num_threads=1, executor=executor,
        tie_threshold=tie_threshold,
    )  # fmt: skip
    return PathWorker(spec, loaded or loaded_tiny())


def test_a_worker_says_up_to_which_gap_its_engine_rechecks() -> None:
    loaded = loaded_tiny()
    assert worker(loaded).info.tie_threshold == PathExecutor(loaded, ChoiceTask()).tie_threshold
    assert worker(loaded, tie_threshold=0.25).info.tie_threshold == 0.25
    alone = worker(loaded, MATERIALISED, tie_threshold=0.25)
    assert alone.info.tie_threshold == TIE_THRESHOLDS["float32"]


def test_a_run_that_was_begun_with_rechecks_gets_them_and_their_cost_is_told() -> None:
    report = worker(tie_threshold=1e9).evaluate(REQUESTS)
    assert report.work.num_tie_rechecks == len(REQUESTS)
    assert report.work.recheck_s > 0


def test_a_worker_names_its_kernels_in_16_bits() -> None:
    assert worker().info.arithmetic == ""
    narrow = replace(loaded_tiny(tiny.tiny_model().to(torch.bfloat16)), dtype="bfloat16")
    assert worker(narrow).info.arithmetic == kernels_of("cpu", "bfloat16") != ""


def break_step(monkeypatch: pytest.MonkeyPatch, error: Exception, after: int = 0) -> list[int]:
    """Let every step of an engine after some raise an error; the numbers of the steps."""
    step = PathExecutor.step
    steps: list[int] = []

    def broken(self: PathExecutor) -> Any:
        steps.append(len(steps))
        if len(steps) > after:
            raise error
        return step(self)

    monkeypatch.setattr(PathExecutor, "step", broken)
    return steps


@pytest.mark.parametrize("executor", [ENGINE, MATERIALISED])
def test_a_broken_device_says_neither_verdicts_nor_failures(
    monkeypatch: pytest.MonkeyPatch, executor: str
) -> None:
    one = worker(executor=executor)
    assert len(one.evaluate(REQUESTS).results) == 3
    steps = break_step(monkeypatch, torch.AcceleratorError("CUDA error: device-side assert"))
    if executor == MATERIALISED:

        def fail(*_: Any) -> Any:
            raise torch.AcceleratorError("CUDA error: device-side assert")

        monkeypatch.setattr("search_cluster.workers.path_worker.evaluate_path", fail)
    with pytest.raises(DeviceBrokenError, match="device cpu is broken: CUDA error: device-side"):
        one.evaluate(REQUESTS)
    assert len(steps) <= 1  # nothing is tried again on it
    monkeypatch.undo()
    with pytest.raises(DeviceBrokenError, match="device-side assert"):
        one.evaluate(REQUESTS)  # what it says now is worth no more


def test_what_was_found_before_a_batch_broke_its_device_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = worker()
    graded = 0

    def grade(self: object, job: object, answered: object) -> Any:
        nonlocal graded
        graded += 1
        if graded == 3:
            return RuntimeError("CUDA error: an illegal memory access was encountered")
        return Verdict(reward=1.0, margin=None, output="", num_layer_tokens=1)

    monkeypatch.setattr(PathExecutor, "_graded", grade)
    with pytest.raises(DeviceBrokenError, match="illegal memory access"):
        one.evaluate(REQUESTS)
    assert graded == 3


def test_any_failure_of_a_batch_has_the_device_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def try_it(device: str, dtype: str) -> None:
        tried.append(device)
        if len(tried) == 3:
            raise DeviceBrokenError("device cpu computes wrong")

    monkeypatch.setattr("search_cluster.workers.path_worker.require_sound_device", try_it)
    one = worker()
    assert len(tried) == 1  # before anything else
    one.evaluate(REQUESTS)
    assert len(tried) == 1
    monkeypatch.setattr(PathExecutor, "_graded", lambda *_: ValueError("no answer"))
    kinds = [result.outcome for result in one.evaluate(REQUESTS).results]
    assert all(isinstance(outcome, Failure) for outcome in kinds)
    assert len(tried) == 2
    with pytest.raises(DeviceBrokenError, match="computes wrong"):
        one.evaluate(REQUESTS)


def test_a_device_that_breaks_while_a_model_is_loaded_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(*_: Any, **__: Any) -> Any:
        raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable")

    monkeypatch.setattr("search_cluster.workers.path_worker.load_model", load)
    spec = WorkerSpec(
        model="tiny", dtype="float32", device="cuda", revision=None, trust_remote_code=False,
        chat="auto", task="capitals", num_threads=1,
    )  # fmt: skip
    with pytest.raises(DeviceBrokenError, match="device cuda is broken: CUDA error: all CUDA"):
        PathWorker(spec)


def test_a_worker_counts_its_arithmetic_and_reads_its_device() -> None:
    one = worker()
    rates = FlopRates.of(one.loaded.model)
    first, second = one.evaluate(REQUESTS[:2]), one.evaluate(REQUESTS[2:])
    (executor,) = one._executors
    total = first.work.plus(second.work)
    assert first.work.num_layer_rows > 0 < second.work.num_layer_rows
    assert total.num_layer_rows == executor.counters.layer_tokens
    assert total.flops == pytest.approx(rates.flops(executor.counters))
    assert second.reading.peak_flops_per_s > 0 < second.reading.memory_bytes


def test_the_materialised_model_s_arithmetic_is_that_of_its_verdicts() -> None:
    one = worker(executor=MATERIALISED)
    report = one.evaluate(REQUESTS)
    verdicts = [result.outcome for result in report.results]
    num_rows = sum(item.num_layer_tokens for item in verdicts if isinstance(item, Verdict))
    assert report.work.num_layer_rows == num_rows > 0
    assert report.work.flops == num_rows * FlopRates.of(one.loaded.model).layer_row


@pytest.mark.parametrize(
    ("error", "is_own"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), True),
        (RuntimeError("can't start new thread"), True),
        (MemoryError(), True),
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), True),
        (FileNotFoundError(errno.ENOENT, "No such file"), False),
        (ValueError("no answer"), False),
    ],
)
def test_a_failure_that_may_be_the_worker_s_own_trouble_is_named(
    monkeypatch: pytest.MonkeyPatch, error: Exception, is_own: bool
) -> None:
    graded: list[int] = []

    def grade(*_: Any) -> Any:
        graded.append(len(graded))
        return error if len(graded) == 2 else verdict

    verdict = Verdict(reward=1.0, margin=None, output="", num_layer_tokens=1)
    monkeypatch.setattr(PathExecutor, "_graded", grade)
    report = worker().evaluate(REQUESTS)
    failed = [item.request_id for item in report.results if isinstance(item.outcome, Failure)]
    assert len(failed) == 1
    assert list(report.local_ids) == (failed if is_own else [])


def test_what_led_to_a_failure_may_be_the_worker_s_own_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = ValueError("the grader said nothing")
    error.__cause__ = OSError(errno.ENOMEM, "Cannot allocate memory")
    monkeypatch.setattr(PathExecutor, "_graded", lambda *_: error)
    assert worker().evaluate(REQUESTS).local_ids == (0, 1, 2)


def test_on_a_card_that_somebody_else_fills_no_failure_is_a_request_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Scheduler, "bring_up_to_date", fail)
    assert worker().evaluate(REQUESTS).local_ids == (0, 1, 2)
