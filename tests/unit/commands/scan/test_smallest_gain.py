"""The smallest gain that test shows is no larger for what all facts gain alike."""

from types import SimpleNamespace
from typing import cast

import pytest

from search_cluster.commands.scan.result import ScanLooks, smallest_gain_of
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.answers import AnswerTable
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

IDENTITY = LayerPath.identity(3)
PATH = LayerPath((0, 2), 3)


def looks(num_facts: int, wordings: int) -> ScanLooks:
    """A path that fixes one answer of two, now in one wording of a fact and now in the other."""
    questions = [
        Example(task="t", question=str(number), gold="g", split="test", source="s")
        for number in range(num_facts * wordings)
    ]
    table = AnswerTable(questions, IDENTITY, [n // wordings for n in range(len(questions))])
    for path in (IDENTITY, PATH):
        trials = [(question, path) for question in questions]
        rewards = [float(path == PATH and number % 2 == 0) for number in range(len(questions))]
        table.take(
            trials,
            [Verdict(reward=it, margin=None, output="", num_layer_tokens=1) for it in rewards],
        )
    return cast(ScanLooks, SimpleNamespace(validation=table, test=table))


def test_a_large_gain_is_no_sign_that_questions_are_alike() -> None:
    of_single = smallest_gain_of(looks(120, 1), [PATH])
    assert smallest_gain_of(looks(30, 4), [PATH]) == pytest.approx(of_single)
    assert of_single < 0.25


def test_without_a_path_none_can_be_shown() -> None:
    assert smallest_gain_of(looks(30, 4), []) == 1.0
