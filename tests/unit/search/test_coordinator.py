import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_cluster.corpus.record import ExampleRecord
from search_cluster.errors import InvalidValueError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.counters import SearchCounts
from search_cluster.protocols.messages import EvaluationRequest, Failure
from search_cluster.protocols.scripted import RewardFunction, ScriptedEvaluator
from search_cluster.search.coordinator import Coordinator
from search_cluster.search.example_search import ExampleSearch
from search_cluster.tasks.example import Example
from search_cluster.tasks.perturbation.perturbations import EvidenceRole
from search_cluster.tasks.verdict import Verdict
from search_cluster.tree.presets.cola import COLA_REORDER
from search_cluster.tree.presets.drllm import DRLLM
from search_cluster.tree.presets.registry import PRESETS
from search_cluster.tree.settings import StopRule

NUM_LAYERS = 8
FULL_BUDGET = dataclasses.replace(DRLLM, stop_rule=StopRule.BUDGET)


def make_examples(count: int) -> list[Example]:
    return [
        Example(task="toy", question=f"q{i}", gold="g", split="train", source="test")
        for i in range(count)
    ]


def noisy_reward(example: Example, path: LayerPath) -> float | Failure:
    """Depends on the content alone, as a verdict does."""
    draw = random.Random(f"{example.question}:{path}").random()
    if draw < 0.05:
        return Failure(kind="NonFiniteLogitsError", message="scripted")
    return float(draw < 0.3)


def run_search(
    evaluator: ScriptedEvaluator, examples: list[Example], preset=FULL_BUDGET, seed: int = 0
):
    coordinator = Coordinator(evaluator, examples, num_layers=NUM_LAYERS, preset=preset, seed=seed)
    records = {
        record.example.example_id: record for record in coordinator.run() if record is not None
    }
    return records, coordinator.progress()


def search_one(reward: RewardFunction, preset=DRLLM) -> ExampleRecord:
    records, _ = run_search(ScriptedEvaluator(reward), make_examples(1), preset)
    return next(iter(records.values()))


def test_identity_comes_first_and_once() -> None:
    record = search_one(noisy_reward, FULL_BUDGET)
    paths = [item.path for item in record.evaluated]
    assert paths[0].is_identity
    assert sum(path.is_identity for path in paths) == 1


def test_a_fixed_identity_stops_the_search() -> None:
    record = search_one(lambda example, path: float(not path.is_identity))
    assert record.stop_reason == "improved"
    assert record.identity is not None
    assert not record.identity.is_correct
    assert record.best
    assert len(record.evaluated) <= 1 + DRLLM.leaves_per_round


def test_a_longer_right_path_does_not_stop_the_search_of_a_right_identity() -> None:
    record = search_one(lambda example, path: float(len(path) >= NUM_LAYERS))
    assert record.stop_reason == "budget"
    assert len(record.evaluated) == DRLLM.budget
    assert [item.path.is_identity for item in record.best] == [True]


def test_a_shorter_right_path_stops_the_search_of_a_right_identity() -> None:
    record = search_one(lambda example, path: 1.0)
    assert record.stop_reason == "improved"
    assert len(record.best[0].path) < NUM_LAYERS


def test_nothing_right_leaves_best_empty() -> None:
    record = search_one(lambda example, path: 0.0)
    assert record.best == ()
    assert record.stop_reason == "budget"


def test_a_small_space_is_exhausted_before_the_budget() -> None:
    search = ExampleSearch(make_examples(1)[0], num_layers=2, preset=FULL_BUDGET, seed=0)
    while paths := search.propose():
        search.observe(
            [Verdict(reward=0.0, margin=None, output="", num_layer_tokens=1) for _ in paths]
        )
    assert search.result().stop_reason == "exhausted"


def test_a_failing_identity_ends_the_example_and_not_the_run() -> None:
    bad, good = make_examples(2)

    def reward(example: Example, path: LayerPath) -> float | Failure:
        return Failure(kind="PromptTooLongError", message="too long") if example == bad else 1.0

    records, progress = run_search(ScriptedEvaluator(reward), [bad, good], DRLLM)
    failed = records[bad.example_id]
    assert failed.stop_reason == "failed"
    assert failed.identity is None
    assert [failure.kind for failure in failed.failures] == ["PromptTooLongError"]
    assert records[good.example_id].stop_reason == "improved"
    assert progress.num_failures == 1


def test_cola_records_the_pareto_front_of_reward_and_length() -> None:
    def reward(example: Example, path: LayerPath) -> float:
        return len(set(path.layers)) / NUM_LAYERS  # what is skipped is missed

    record = search_one(reward, COLA_REORDER)
    assert len(record.evaluated) == COLA_REORDER.budget
    points = {(item.verdict.reward, len(item.path)) for item in record.evaluated}
    front = {
        (gain, length)
        for gain, length in points
        if not any(
            other >= gain and shorter <= length and (other, shorter) != (gain, length)
            for other, shorter in points
        )
    }
    assert [(item.verdict.reward, len(item.path)) for item in record.pareto] == sorted(
        front, key=lambda item: item[1]
    )
    assert len(front) > 2
    assert (1.0, NUM_LAYERS) in front


def test_failures_count_against_the_budget() -> None:
    record = search_one(noisy_reward, FULL_BUDGET)
    assert record.failures or record.evaluated
    assert len(record.evaluated) + len(record.failures) == FULL_BUDGET.budget


@pytest.mark.parametrize("name", sorted(PRESETS))
@given(
    shuffle_seed=st.integers(0, 100),
    answers=st.integers(1, 9),
    max_in_flight=st.integers(1, 40),
)
@settings(max_examples=8, deadline=None)
def test_records_do_not_depend_on_arrival_order_or_capacity(
    name: str, shuffle_seed: int, answers: int, max_in_flight: int
) -> None:
    preset = dataclasses.replace(PRESETS[name], stop_rule=StopRule.BUDGET, budget=50)
    examples = make_examples(6)
    reference, _ = run_search(ScriptedEvaluator(noisy_reward), examples, preset)
    shuffled = ScriptedEvaluator(
        noisy_reward,
        max_in_flight=max_in_flight,
        answers_per_collect=answers,
        shuffle_seed=shuffle_seed,
    )
    records, progress = run_search(shuffled, examples, preset)
    assert records == reference
    assert progress.num_paths_searched == sum(
        len(r.evaluated) + len(r.failures) for r in records.values()
    )


def test_examples_that_come_later_get_the_records_that_they_would_have_got_at_once() -> None:
    examples = make_examples(9)
    reference, total = run_search(ScriptedEvaluator(noisy_reward), examples)
    evaluator = ScriptedEvaluator(noisy_reward, answers_per_collect=5, shuffle_seed=1)
    coordinator = Coordinator(evaluator, (), num_layers=NUM_LAYERS, preset=FULL_BUDGET, seed=0)
    assert not coordinator.busy
    assert coordinator.step() == []
    records = []
    for portion in (examples[:2], examples[2:3], examples[3:]):
        coordinator.add(portion)
        assert coordinator.num_waiting == len(portion)
        for _ in range(30):
            records += coordinator.step(timeout_s=0.0)
    while coordinator.busy:
        records += coordinator.step()
    assert {record.example.example_id: record for record in records} == reference
    assert coordinator.progress() == total


def test_what_was_delivered_to_a_search_comes_with_its_record() -> None:
    evaluator = ScriptedEvaluator(noisy_reward, answers_per_collect=3, shuffle_seed=2)
    coordinator = Coordinator(
        evaluator, make_examples(5), num_layers=NUM_LAYERS, preset=FULL_BUDGET, seed=0
    )
    total = SearchCounts()
    while coordinator.busy:
        for ended in coordinator.counted_step():
            total = total.plus(ended.counts)
            record = ended.record
            assert ended.counts == SearchCounts(
                num_paths_searched=len(record.evaluated) + len(record.failures),
                num_failures=len(record.failures),
            )
    assert total == coordinator.delivered
    assert total.num_failures > 0


def test_a_task_that_cannot_perturb_an_example_fails_this_example_alone() -> None:
    bad, *others = make_examples(4)

    def perturb(example: Example, role: EvidenceRole, count: int) -> list[Example]:
        if example == bad:
            raise ZeroDivisionError("no such wording")
        return []

    coordinator = Coordinator(
        ScriptedEvaluator(noisy_reward),
        [bad, *others],
        num_layers=NUM_LAYERS,
        preset=PRESETS["credible"],
        seed=0,
        perturb=perturb,
    )
    records = {
        record.example.example_id: record for record in coordinator.run() if record is not None
    }
    assert len(records) == 4
    failed = records.pop(bad.example_id)
    assert (failed.stop_reason, failed.identity) == ("failed", None)
    assert [(failure.kind, failure.message) for failure in failed.failures] == [
        ("ZeroDivisionError", "no such wording")
    ]
    assert all(
        record.stop_reason != "failed" or record.failures[0].kind != "ZeroDivisionError"
        for record in records.values()
    )
    assert all(record.evaluated or record.failures for record in records.values())


def test_another_seed_searches_other_paths() -> None:
    examples = make_examples(3)
    first, _ = run_search(ScriptedEvaluator(noisy_reward), examples, seed=0)
    second, _ = run_search(ScriptedEvaluator(noisy_reward), examples, seed=1)
    assert first != second


def test_the_coordinator_keeps_the_evaluator_full_but_bounded() -> None:
    seen: list[int] = []

    class Spy(ScriptedEvaluator):
        in_flight = 0

        def submit(self, requests: list[EvaluationRequest]) -> None:
            super().submit(requests)
            self.in_flight += len(requests)
            seen.append(self.in_flight)

        def collect(self, timeout_s: float | None = None):
            results = super().collect(timeout_s)
            self.in_flight -= len(results)
            return results

    run_search(Spy(noisy_reward, max_in_flight=10, answers_per_collect=2), make_examples(30))
    assert 10 <= max(seen) < 10 + DRLLM.leaves_per_round


def test_rounds_are_observed_whole() -> None:
    search = ExampleSearch(make_examples(1)[0], num_layers=4, preset=DRLLM, seed=0)
    search.propose()
    with pytest.raises(InvalidValueError, match="wait for outcomes"):
        search.propose()
    with pytest.raises(InvalidValueError, match="0 outcomes for 1 proposed"):
        search.observe([])
    with pytest.raises(InvalidValueError, match="still being searched"):
        search.result()
