"""Answers of the harness' tasks, compared by the harness' own filters and ``exact_match``."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from search_cluster.tasks.example import Example
from search_cluster.tasks.sources.harness.mapped import AnswerRules

_UNIT = "none"
"""The name of a pipeline without a name."""


def gold_text(answers: list[str]) -> str:
    """Right answers as an example holds them: the one, or a JSON list of several."""
    if len(answers) == 1 and gold_answers(answers[0]) == answers:
        return answers[0]
    return json.dumps(answers, ensure_ascii=False)


def gold_answers(gold: str) -> list[str]:
    """The right answers of an example."""
    if gold.startswith('["'):
        try:
            answers = json.loads(gold)
        except ValueError:
            return [gold]
        if isinstance(answers, list) and all(isinstance(answer, str) for answer in answers):
            return answers
    return [gold]


def matches(rules: AnswerRules, example: Example, answer: str) -> bool:
    """Whether an answer that was filtered is one of the right ones, as the harness compares."""
    compare = _exact_match()
    right = gold_answers(example.gold)
    found = compare(predictions=[answer] * len(right), references=right, **dict(rules.exact_match))
    return float(found["exact_match"]) > 0


def grade_harness(rules: AnswerRules, example: Example, output: str) -> float:
    """1 if the filtered answer is one of the right ones, else 0."""
    return float(matches(rules, example, filtered(rules, output)))


def filtered(rules: AnswerRules, output: str) -> str:
    """What the task's filters leave of an answer."""
    from lm_eval.api.instance import Instance
    from lm_eval.filters import build_filter_ensemble

    steps = [
        (step["function"], {key: value for key, value in step.items() if key != "function"})
        for step in rules.filters
    ]
    if all(name != "take_first" for name, _ in steps):
        steps.append(("take_first", {}))
    pipeline = build_filter_ensemble(rules.filter_name or _UNIT, steps)
    instance = Instance(
        request_type="generate_until",
        doc={},
        arguments=("", {}),
        idx=0,
        metadata=(None, 0, 1),
        resps=[output],
    )
    pipeline.apply([instance])
    return str(instance.filtered_resps[pipeline.name])


@cache
def _exact_match() -> Callable[..., dict[str, Any]]:
    from lm_eval.api.metrics import (
        exact_match_hf_evaluate,
    )  # imports much, and only graders need it

    found: Callable[..., dict[str, Any]] = exact_match_hf_evaluate
    return found
