import pytest

from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import EvaluationRequest, Failure
from search_cluster.protocols.scripted import ScriptedEvaluator
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

EXAMPLE = Example(task="toy", question="q", gold="g", split="train", source="test")


def request(request_id: int) -> EvaluationRequest:
    return EvaluationRequest(request_id=request_id, example=EXAMPLE, path=LayerPath.identity(3))


def test_every_request_is_answered_once() -> None:
    evaluator = ScriptedEvaluator(lambda example, path: 1.0, answers_per_collect=2, shuffle_seed=3)
    evaluator.submit([request(i) for i in range(5)])
    answers = [result.request_id for _ in range(3) for result in evaluator.collect()]
    assert sorted(answers) == [0, 1, 2, 3, 4]
    assert evaluator.collect() == []
    assert evaluator.stats().num_evaluated == 5


def test_failures_are_values() -> None:
    failure = Failure(kind="Boom", message="scripted")
    evaluator = ScriptedEvaluator(lambda example, path: failure)
    evaluator.submit([request(0)])
    assert evaluator.collect()[0].outcome == failure
    assert evaluator.stats().num_failures == 1


def test_what_it_is_given_is_checked() -> None:
    evaluator = ScriptedEvaluator(lambda example, path: 1.0)
    evaluator.submit([request(0)])
    with pytest.raises(InvalidValueError, match="request id 0 was used before"):
        evaluator.submit([request(0)])
    evaluator.close()
    with pytest.raises(InvalidValueError, match="submit after close"):
        evaluator.submit([request(1)])


@pytest.mark.parametrize("reward", [-0.1, 1.1, float("nan")])
def test_a_verdict_checks_its_reward(reward: float) -> None:
    with pytest.raises(InvalidValueError, match="a reward lies in"):
        Verdict(reward=reward, margin=None, output="", num_layer_tokens=0)


def test_a_verdict_checks_its_margin() -> None:
    with pytest.raises(InvalidValueError, match="a margin is finite"):
        Verdict(reward=1.0, margin=float("inf"), output="", num_layer_tokens=0)
