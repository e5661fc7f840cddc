from dataclasses import replace

import pytest
import torch
from support import tiny
from support.model_doubles import CAPITAL, ChoiceTask, loaded_tiny

from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.engine.rechecks import TIE_THRESHOLDS
from search_cluster.model.kernels import kernels_of
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import EvaluationRequest
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
