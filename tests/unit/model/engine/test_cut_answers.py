"""Answers that end for want of tokens are told from those that end by themselves."""

from dataclasses import replace

import pytest
from support.model_doubles import CAPITAL, SUM, ChoiceTask, GenerateTask, loaded_tiny

from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import EvaluationRequest
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers.messages import ENGINE, MATERIALISED, WorkerSpec
from search_cluster.workers.path_worker import PathWorker
from search_cluster.workers.wire import pack_report, unpack_report

IDENTITY = LayerPath.identity(6)


def answers(task: ChoiceTask) -> tuple[Verdict, Verdict]:
    """The engine's verdict and the reference's."""
    loaded = loaded_tiny()
    example = CAPITAL if task.name == "capitals" else SUM
    (outcome,) = PathExecutor(loaded, task).evaluate([(example, IDENTITY)])
    assert isinstance(outcome, Verdict)
    return outcome, evaluate_path(loaded, task, example, IDENTITY)


@pytest.mark.parametrize("max_new_tokens", [1, 3, 12])
def test_claims_an_answer_without_an_end_is_cut(max_new_tokens: int) -> None:
    assert [item.is_cut for item in answers(GenerateTask(max_new_tokens=max_new_tokens))] == [
        True,
        True,
    ]


def test_claims_an_answer_that_ends_at_a_stop_string_is_not_cut_even_at_the_last_token() -> None:
    whole = answers(GenerateTask(max_new_tokens=3))[0].output
    stop = whole[-1:]
    assert stop.strip(), "the model says something"
    for max_new_tokens in (3, 12):
        task = GenerateTask(max_new_tokens=max_new_tokens, stop_strings=(stop,))
        assert [item.is_cut for item in answers(task)] == [False, False]


def test_claims_of_choices_nothing_is_cut() -> None:
    assert [item.is_cut for item in answers(ChoiceTask())] == [None, None]


def test_claims_whether_it_is_cut_is_no_part_of_a_verdict() -> None:
    verdict = Verdict(reward=1.0, margin=None, output="2", num_layer_tokens=3)
    assert verdict == replace(verdict, is_cut=True) == replace(verdict, is_cut=False)
    assert len({verdict, replace(verdict, is_cut=True)}) == 1


@pytest.mark.parametrize("executor", [ENGINE, MATERIALISED])
def test_claims_a_worker_counts_cut_answers_and_the_count_travels(
    executor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = GenerateTask(max_new_tokens=2)
    monkeypatch.setattr("search_cluster.workers.path_worker.get_task", lambda spec: task)
    spec = WorkerSpec(
        model="tiny", dtype="float32", device="cpu", revision=None, trust_remote_code=False,
        chat="auto", task="sums", num_threads=1, executor=executor,
    )  # fmt: skip
    worker = PathWorker(spec, loaded_tiny())
    requests = [
        EvaluationRequest(request_id=number, example=SUM, path=path)
        for number, path in enumerate((IDENTITY, LayerPath((0, 1, 2), 6)))
    ]
    report = worker.evaluate(requests)
    assert report.work.num_cut_answers == 2
    assert worker.evaluate(requests[:1]).work.num_cut_answers == 1, "since the last report"
    assert unpack_report(pack_report(report)).work == report.work
