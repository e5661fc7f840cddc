"""What `router-train evaluate` says: the effect by the interval, chance, and cut answers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support.router_corpus import fruit_example, fruit_task, generated_fruit_task, tiny_loaded

from router_train.commands.evaluate import _evaluation_text, report_json
from router_train.evaluation.evaluate import EvaluationReport, evaluate
from router_train.evaluation.predictions import PredictionLog
from router_train.inference.routed_model import RoutedModel
from router_train.routers.fixed import FixedRouter
from search_cluster.model.engine.executor import Outcome
from search_cluster.paths.layer_path import LayerPath
from search_cluster.stats import Effect
from search_cluster.tasks.example import Example
from search_cluster.tasks.simple import SimpleTask
from search_cluster.tasks.verdict import Verdict

IDENTITY = LayerPath.identity(6)
SHORT = LayerPath.from_decisions((1, 1, 0, 1, 1, 1))
GENERATED = generated_fruit_task(max_new_tokens=2)


@dataclass(frozen=True)
class Scripted:
    """Plain is right on the first questions of the list; the short path differs on some."""

    right: int
    fixed: int
    broken: int

    def evaluate(self, requests: Sequence[tuple[Example, LayerPath]]) -> Sequence[Outcome]:
        return [self._verdict(example, path) for example, path in requests]

    def _verdict(self, example: Example, path: LayerPath) -> Verdict:
        number = int(example.question.split()[-1].rstrip("?")) - 1000
        correct = number < self.right
        if path == SHORT:
            correct = (
                self.broken <= number < self.right + self.fixed
                if number < self.right
                else number < self.right + self.fixed
            )
        return Verdict(
            reward=float(correct), margin=None, output="fig", num_layer_tokens=len(path) * 5
        )


def judged(
    tmp_path: Path, n: int, script: Scripted | None, task: SimpleTask | None = None
) -> EvaluationReport:
    loaded = tiny_loaded()
    examples = [fruit_example(1000 + number, "test") for number in range(n)]
    return evaluate(
        loaded,
        RoutedModel(loaded, FixedRouter(SHORT)),
        task or fruit_task(),
        examples,
        PredictionLog(tmp_path, {}),
        static_path=SHORT,
        engine=script,
    )


def text_of(report: EvaluationReport, *, may_have_taught: bool = False) -> str:
    rest = {
        "router": "static",
        "task": "fruit",
        "split": "validation" if may_have_taught else "test",
        "may_have_taught": may_have_taught,
    }
    return _evaluation_text({**report_json(report), **rest})


@pytest.mark.parametrize(
    ("n", "script", "effect", "words"),
    [
        (16, Scripted(8, 1, 0), Effect.CANT_TELL, "can't tell whether the router helps here ("),
        (16, Scripted(8, 0, 0), Effect.CANT_TELL, "can't tell whether the router helps here ("),
        (40, Scripted(20, 12, 0), Effect.HELPS, "the router helps here ("),
        (40, Scripted(30, 0, 12), Effect.HURTS, "the router HURTS here ("),
        (40, Scripted(30, 5, 5), Effect.CANT_TELL, "right only routed 5, only plain 5, "),
    ],
)
def test_claims_an_evaluation_says_what_its_questions_show(
    tmp_path: Path, n: int, script: Scripted, effect: Effect, words: str
) -> None:
    report = judged(tmp_path, n, script)
    assert (report.effect, report.helps) == (effect, effect is Effect.HELPS)
    assert report.static is not None
    assert report.static.effect is effect
    assert words in text_of(report)
    assert "fixed" not in text_of(report)


@pytest.mark.parametrize(
    ("script", "guessing", "words"),
    [
        (Scripted(10, 0, 0), True, "chance 0.250 (uniform guesses): the plain model can't be told"),
        (Scripted(3, 0, 0), True, "the plain model can't be told from guessing"),
        (Scripted(30, 0, 0), False, "chance 0.250 (uniform guesses): the plain model is better"),
    ],
)
def test_claims_chance_stands_beside_the_accuracy(
    tmp_path: Path, script: Scripted, guessing: bool, words: str
) -> None:
    report = judged(tmp_path, 40, script)
    assert (report.chance, report.plain_is_guessing) == (0.25, guessing)
    assert words in text_of(report)


def test_claims_no_interval_is_printed_where_every_question_agrees(tmp_path: Path) -> None:
    text = text_of(judged(tmp_path, 1, Scripted(1, 0, 0)))
    assert "on 1 question of fruit" in text
    assert "difference +0.000 (the same on every question, which gives no interval)" in text
    assert "[+0.000, +0.000]" not in text


def test_claims_saving_the_layers_of_a_guessing_model_is_no_help(tmp_path: Path) -> None:
    report = judged(tmp_path, 400, Scripted(100, 0, 0))
    assert report.plain_is_guessing
    assert report.effect is Effect.CANT_TELL
    better = judged(tmp_path / "better", 400, Scripted(200, 0, 0))
    assert better.effect is Effect.HELPS


def test_claims_questions_that_may_have_taught_are_no_test(tmp_path: Path) -> None:
    report = judged(tmp_path, 16, Scripted(8, 1, 0))
    assert "split validation may have taught the router" in text_of(report, may_have_taught=True)
    assert "may have taught" not in text_of(report)


def test_claims_more_layers_are_not_saved_ones(tmp_path: Path) -> None:
    report = judged(tmp_path, 16, Scripted(8, 1, 0))
    assert "16.7% of the layer applications saved" in text_of(report)
    longer = replace(report, layers_saved_share=-0.125)
    assert "12.5% more layer applications" in text_of(longer)


def test_claims_answers_cut_by_the_token_limit_are_counted(tmp_path: Path) -> None:
    report = judged(tmp_path, 4, None, GENERATED)
    # A random model hardly ever ends its answer within two tokens.
    assert (report.num_cut_plain, report.num_cut_routed) == (4, 4)
    assert "4 of 4 plain answers were cut by the task's max_new_tokens" in text_of(report)
    assert "4 of 4 routed answers were cut" in text_of(report)
    scored = judged(tmp_path / "scored", 4, None)
    assert (scored.num_cut_plain, scored.num_cut_routed) == (None, None)
    assert "cut by" not in text_of(scored)
