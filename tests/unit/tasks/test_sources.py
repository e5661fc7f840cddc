"""Sources and graders that are anybody's code, and questions that differ in their last mark."""

import logging

import pytest

from search_cluster.errors import InvalidValueError, TaskError
from search_cluster.tasks.example import Example
from search_cluster.tasks.graders import grade_exact, grade_letter
from search_cluster.tasks.loading import Source
from search_cluster.tasks.simple import SimpleTask, generate_task
from search_cluster.tasks.user_rows import convert_letter_row, rows_source

EXAMPLE = Example(task="own", question="?", gold="x", split="test", source="own:0")


def own_task(source: Source, chat: str = "{question}", **settings: object) -> SimpleTask:
    return generate_task(
        name="own",
        description="d",
        chat=chat,
        source=source,
        grader_version="1",
        max_new_tokens=4,
        **{"grader": grade_exact, **settings},  # type: ignore[arg-type]
    )


def test_one_fault_a_source_that_raises_is_one_line() -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("database\nis down")

    with pytest.raises(TaskError, match=r"split 'test': RuntimeError: database is down \(.*py:"):
        own_task(broken).load("test", None)  # type: ignore[arg-type]


def test_one_fault_a_source_of_something_else_is_named() -> None:
    with pytest.raises(TaskError, match=r"its source gives list; .* rows_source"):
        own_task(lambda *args: []).load("test", None)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [None, "1", [1.0]])
def test_one_fault_a_reward_that_is_no_number_is_named(given: object) -> None:
    task = own_task(rows_source([]), grader=lambda example, output: given)
    with pytest.raises(InvalidValueError, match=r"task own gave .*; a reward is a number"):
        task.grade(EXAMPLE, "x")


def test_one_fault_a_reward_may_be_true() -> None:
    task = own_task(rows_source([]), grader=lambda example, output: output == example.gold)
    assert (task.grade(EXAMPLE, "x"), task.grade(EXAMPLE, "y")) == (1.0, 0.0)


@pytest.mark.parametrize("other", ["What is 1", "what is 1 ?", "What is 1.", "What is 1？"])
def test_gold_a_question_is_the_same_without_its_mark(
    other: str, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        {"question": "What is 1?", "answer": "x", "split": "train"},
        {"question": "What is 2?", "answer": "x", "split": "train"},
        {"question": other, "answer": "x", "split": "test"},
    ]
    with caplog.at_level(logging.WARNING):
        loaded = own_task(rows_source(rows)).load("train", None)
    assert [example.question for example in loaded.examples] == ["What is 2?"]
    assert "1 questions stand in more than one split" in caplog.text


@pytest.mark.parametrize(
    ("chat", "plain", "question", "is_good"),
    [
        ("{question}", None, "Which metal?", False),
        ("{question}\n{choices}", "{question}", "Which metal?", False),
        ("{question}\n{choices}", None, "Which metal?", True),
        ("{question}", None, "Which metal?\nA. tin\nB. zinc", True),
    ],
)
def test_prompt_letters_need_choices_that_are_shown(
    chat: str, plain: str | None, question: str, is_good: bool
) -> None:
    rows = [{"question": question, "choices": ["tin", "zinc"], "answer": "tin", "split": "test"}]
    source = rows_source(rows, convert_letter_row)
    task = own_task(source, chat, plain=plain, grader=grade_letter)
    if is_good:
        assert task.load("test", None).examples
    else:
        with pytest.raises(TaskError, match=r"prompt of own:0 does not show the choices; write"):
            task.load("test", None)
