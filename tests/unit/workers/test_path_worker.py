from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from support import tiny
from support.model_doubles import CAPITAL, ChoiceTask, loaded_tiny

from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.model.engine.rechecks import TIE_THRESHOLDS
from search_cluster.model.kernels import kernels_of
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import EvaluationRequest, Failure
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


def test_the_requests_of_a_batch_that_fails_are_asked_of_the_engine_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evaluate = PathExecutor.evaluate
    sizes: list[int] = []

    def narrow(self: PathExecutor, requests: Sequence[Any]) -> list[Outcome]:
        sizes.append(len(requests))
        if len(requests) > 1 or requests[0][1] == PATHS[1]:
            raise RuntimeError("too much")
        return evaluate(self, requests)

    expected = [item.outcome for item in worker().evaluate(REQUESTS).results]
    monkeypatch.setattr(PathExecutor, "evaluate", narrow)
    monkeypatch.delattr("search_cluster.workers.path_worker.evaluate_path")
    outcomes = [item.outcome for item in worker().evaluate(REQUESTS).results]
    assert sizes == [3, 1, 1, 1]
    assert outcomes[1] == Failure(kind="RuntimeError", message="too much")
    assert [outcomes[0], outcomes[2]] == [expected[0], expected[2]]
