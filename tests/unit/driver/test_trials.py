"""Rounds of pairs are evaluated whole, in whatever order answers come; a common fault ends them."""

from collections.abc import Sequence

import pytest

from search_cluster.driver.trials import AnswerWatch, TrialRunner
from search_cluster.errors import OneFaultError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.protocols.rounds import Trial
from search_cluster.protocols.scripted import ScriptedEvaluator
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

EXAMPLES = [
    Example(task="t", question=str(number), gold="g", split="train", source="s")
    for number in range(40)
]
PATHS = [LayerPath((0, 1, 2), 3), LayerPath((0, 2), 3), LayerPath((0, 0, 1, 2), 3)]
TRIALS = [(example, path) for example in EXAMPLES for path in PATHS]


def reward_of(example: Example, path: LayerPath) -> float:
    return (int(example.question) * 3 + len(path)) % 97 / 97


def test_outcomes_come_in_the_order_of_the_trials_and_each_is_told_once() -> None:
    evaluator = ScriptedEvaluator(reward_of, max_in_flight=7, answers_per_collect=3, shuffle_seed=1)
    told: list[Trial] = []
    runner = TrialRunner(evaluator, lambda trial, result: told.append(trial))
    for trials in (TRIALS, TRIALS[5:9]):  # request ids stay unique from round to round
        outcomes = runner.outcomes(trials)
        rewards = [outcome.reward for outcome in outcomes if isinstance(outcome, Verdict)]
        assert rewards == [reward_of(*trial) for trial in trials]
    assert told != TRIALS + TRIALS[5:9]
    assert set(told[: len(TRIALS)]) == set(TRIALS)
    assert set(told[len(TRIALS) :]) == set(TRIALS[5:9])
    assert runner.outcomes([]) == []


def test_a_question_without_a_prompt_is_asked_of_no_more_paths_than_are_in_flight() -> None:
    too_long = Failure(kind="PromptTooLongError", message="a prompt of 9 tokens")
    broken = Failure(kind="NonFiniteLogitsError", message="nan")
    asked: list[Trial] = []

    def outcome_of(example: Example, path: LayerPath) -> float | Failure:
        asked.append((example, path))
        return {"0": too_long, "1": broken}.get(example.question, 1.0)

    paths = [LayerPath((0,) * length, 3) for length in range(1, 21)]
    trials = [(example, path) for example in EXAMPLES[:3] for path in paths]
    told: list[tuple[Trial, object]] = []
    runner = TrialRunner(
        ScriptedEvaluator(outcome_of, max_in_flight=4),
        lambda trial, result: told.append((trial, result.outcome)),
    )
    outcomes = runner.outcomes(trials)
    assert outcomes[:40] == [too_long] * 20 + [broken] * 20
    assert len(asked) == 4 + 20 + 20
    assert sorted(trial[1].layers for trial, _ in told) == sorted(path.layers for _, path in trials)
    assert runner.outcomes(trials[:3]) == [too_long] * 3
    assert len(asked) == 4 + 20 + 20


def result(kind: str | None, from_cache: bool = False) -> EvaluationResult:
    outcome = Verdict(reward=1.0, margin=None, output="", num_layer_tokens=1)
    return EvaluationResult(
        request_id=0,
        outcome=outcome if kind is None else Failure(kind=kind, message="gone"),
        from_cache=from_cache,
    )


def test_a_fault_of_all_examples_is_raised() -> None:
    watch = AnswerWatch(len(EXAMPLES))
    for example in EXAMPLES[:15]:
        watch.take(example, result("RuntimeError"))
        watch.take(example, result("RuntimeError"))  # one path stands for its example
    with pytest.raises(OneFaultError, match="RuntimeError: gone"):
        watch.take(EXAMPLES[15], result("RuntimeError"))


def test_what_the_model_says_of_a_path_and_what_is_cached_are_no_fault() -> None:
    watch = AnswerWatch(len(EXAMPLES))
    for example in EXAMPLES:
        watch.take(example, result("NonFiniteLogitsError"))
        watch.take(example, result("RuntimeError", from_cache=True))
    watch.take(EXAMPLES[0], result(None))
    watch.end()


class Elsewhere(ScriptedEvaluator):
    """Stands in for a cache of which another job has claimed the first pairs: they make room."""

    def __init__(self, num_elsewhere: int) -> None:
        super().__init__(reward_of, max_in_flight=2)
        self._num_elsewhere = num_elsewhere
        self.submitted_at_first: list[EvaluationRequest] = []
        self._has_collected = False

    @property
    def max_in_flight(self) -> int:
        waits = min(self._num_elsewhere, len(self.submitted_at_first))
        return super().max_in_flight + waits

    def submit(self, requests: Sequence[EvaluationRequest]) -> None:
        if not self._has_collected:
            self.submitted_at_first += requests
        super().submit(requests)

    def collect(self, timeout_s: float | None = None) -> list[EvaluationResult]:
        self._has_collected = True
        return super().collect(timeout_s)


def test_where_another_job_computes_the_first_pairs_others_are_asked_for_at_once() -> None:
    evaluator = Elsewhere(num_elsewhere=6)
    TrialRunner(evaluator, lambda trial, result: None).outcomes(TRIALS)
    assert len(evaluator.submitted_at_first) == 8  # six that wait, and two for the own workers
