"""Judgements of a path by questions that its scan never asked, and the file that counts them."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.scanned import standing

from search_cluster.errors import CorpusError
from search_cluster.scan.judged import (
    JUDGED_NAME,
    Judgement,
    fresh_questions,
    keep_judgement,
    read_judgements,
)
from search_cluster.scan.result import LeftOut
from search_cluster.tasks.example import Example

JUDGEMENT = Judgement(
    at="2026-12-01T00:00:00+00:00",
    task="t",
    split="train",
    path="0-3,5",
    questions="q",
    num_asked=100,
    num_known=16,
    standing=standing(0.05, 98, num_compared=1),
    plain_is_guessing=False,
    left_out=(LeftOut(split="train", num_questions=2, num_asked=100, cause="too long"),),
)


def question(text: str, *choices: str, task: str = "t", split: str = "train") -> Example:
    return Example(
        task=task, question=text, choices=choices, gold=choices[0], gold_index=0, split=split,
        source="test",
    )  # fmt: skip


def test_a_question_was_asked_however_it_is_typed_and_whatever_its_task_is_called() -> None:
    asked = [question("What is  the capital of France?", "Paris", "Rome", split="test")]
    same = question("what is the Capital of France", "Rome", "Paris", task="mine")
    among_others = question("What is the capital of France?", "Paris", "Berlin")
    other = question("What is the capital of Italy?", "Paris", "Rome")
    assert fresh_questions([same, among_others, other], asked) == [among_others, other]
    assert fresh_questions([same], []) == [same]


def test_judgements_are_kept_and_one_that_asks_nothing_new_counts_once(tmp_path: Path) -> None:
    assert read_judgements(tmp_path) == ()
    assert keep_judgement(tmp_path, JUDGEMENT) == 1
    other_path = replace(JUDGEMENT, path="0-4,4-5")
    assert keep_judgement(tmp_path, other_path) == 2
    again = replace(JUDGEMENT, at="2026-12-02T00:00:00+00:00")
    assert keep_judgement(tmp_path, again) == 2
    assert read_judgements(tmp_path) == (other_path, again)
    assert keep_judgement(tmp_path, replace(JUDGEMENT, questions="others")) == 3


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / JUDGED_NAME).write_text("[{}]")
    with pytest.raises(CorpusError, match=r"judged\.json: .*delete it, and judge again"):
        keep_judgement(tmp_path, JUDGEMENT)
