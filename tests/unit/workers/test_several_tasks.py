"""A worker of several tasks answers each request as its task does."""

import pytest
from support.model_doubles import loaded_tiny

from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import EvaluationRequest
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers.messages import ENGINE, MATERIALISED, WorkerSpec
from search_cluster.workers.path_worker import PathWorker

TASKS = ("capitals", "arithmetic", "elements")
PATHS = [LayerPath(layers, 6) for layers in ((0, 1, 2, 3, 4, 5), (0, 2, 4), (0, 1, 1, 5))]


@pytest.mark.parametrize("executor", [ENGINE, MATERIALISED])
def test_each_request_is_answered_as_its_task_asks_and_grades(executor: str) -> None:
    loaded = loaded_tiny()
    spec = WorkerSpec(
        model="tiny", dtype="float32", device="cpu", revision=None, trust_remote_code=False,
        chat="auto", task=TASKS[0], more_tasks=TASKS[1:], num_threads=1, executor=executor,
    )  # fmt: skip
    examples = [get_task(name).load("train", None).examples[5] for name in TASKS]
    pairs = [(example, path) for path in PATHS for example in examples]  # tasks take turns
    requests = [
        EvaluationRequest(request_id=number, example=example, path=path)
        for number, (example, path) in enumerate(pairs)
    ]
    report = PathWorker(spec, loaded).evaluate(requests)
    assert [result.request_id for result in report.results] == list(range(len(pairs)))
    for result, (example, path) in zip(report.results, pairs, strict=True):
        reference = evaluate_path(loaded, get_task(example.task), example, path)
        assert isinstance(result.outcome, Verdict)
        assert (result.outcome.output, result.outcome.reward) == (
            reference.output,
            reference.reward,
        )
    # Tasks share no states: each runs the layers of its own questions.
    assert (report.work.num_layer_runs > 0) == (executor == ENGINE)
