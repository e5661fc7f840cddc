"""Equal questions in several splits, or with several answers."""

import json
import logging
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from search_cluster.commands.examples import load_examples, write_malformed
from search_cluster.config import SearchConfig
from search_cluster.errors import TaskError
from search_cluster.tasks.example import Example
from search_cluster.tasks.graders import grade_exact, grade_number
from search_cluster.tasks.loading import Source
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.simple import choice_task, generate_task
from search_cluster.tasks.task import SPLITS, LoadedExamples
from search_cluster.tasks.twins import question_key
from search_cluster.tasks.user_rows import rows_source

CHOICES = ["red", "green", "blue"]


def loaded_splits(source: Source) -> dict[str, LoadedExamples]:
    task = choice_task(name="own", description="d", chat="{question}", source=source)
    found = {}
    for split in SPLITS:
        try:
            found[split] = task.load(split, None)
        except TaskError:
            continue
    return found


def row(question: str, split: str | None, answer: str = "red", **more: Any) -> dict[str, Any]:
    named = {} if split is None else {"split": split}
    return {"question": question, "choices": CHOICES, "answer": answer, **named, **more}


def asked(loaded: LoadedExamples) -> list[str]:
    return [example.question for example in loaded.examples]


def test_gold_questions_in_train_and_test_stay_in_test(caplog: pytest.LogCaptureFixture) -> None:
    rows = [row(f"Colour {n}?", "train") for n in range(10)]
    rows += [row(f"colour  {n}?", "test") for n in range(6)]
    rows += [row("Colour 20?", "train"), row("Colour 20?", "test", "green")]
    with caplog.at_level(logging.WARNING, "search_cluster"):
        found = loaded_splits(rows_source(rows))
    assert asked(found["train"]) == [f"Colour {n}?" for n in range(6, 10)]
    assert asked(found["test"]) == [f"colour  {n}?" for n in range(6)]
    reasons = [item.reason for item in found["train"].malformed]
    assert len(reasons) == 8
    assert sum("split 'test' asks the same question" in reason for reason in reasons) == 6
    assert (
        sum("more than one answer: 'red' here, 'green' in own:17" in text for text in reasons) == 1
    )
    assert "own: 6 questions stand in more than one split" in caplog.text
    assert "own: 1 questions have more than one answer and are left out" in caplog.text


DOOR = unicodedata.normalize("NFC", "What colour is a cafe\N{COMBINING ACUTE ACCENT}'s door?")


@pytest.mark.parametrize(
    "twin",
    [
        DOOR,
        DOOR.upper(),
        DOOR.replace(" ", "\n "),
        DOOR.replace(" ", "\N{NO-BREAK SPACE}"),
        DOOR.replace("?", "\N{FULLWIDTH QUESTION MARK}"),
        DOOR.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}"),
        DOOR.replace(" is", "\N{ZERO WIDTH SPACE} is"),
        unicodedata.normalize("NFD", DOOR),
    ],
)
def test_gold_a_question_typed_otherwise_is_the_same(twin: str) -> None:
    rows = [row(DOOR, "train"), row("Else?", "train"), row(twin, "test")]
    found = loaded_splits(rows_source(rows))
    assert asked(found["train"]) == ["Else?"]
    assert len(found["test"].examples) == 1


def test_gold_superscripts_and_fractions_are_other_questions() -> None:
    squared = f"2{chr(0xB2)}"
    assert question_key(squared) != question_key("22")
    assert question_key("\N{VULGAR FRACTION ONE HALF} of 1") != question_key("1/2 of 1")
    assert question_key("\N{FULLWIDTH DIGIT TWO}") == question_key("2")


def test_gold_the_same_stem_with_other_choices_is_another_question() -> None:
    rows = [
        row("Which is a mammal?", "train", "dog", choices=["dog", "hen", "bee"]),
        row("Which is a mammal?", "test", "cat", choices=["ant", "cat", "owl"]),
        row("Which is a mammal?", "validation", "dog", choices=["hen", "bee", "dog"]),
    ]
    found = loaded_splits(rows_source(rows))
    assert "train" not in found  # the order of the choices makes no other question
    assert len(found["validation"].examples) == len(found["test"].examples) == 1


def test_gold_rows_without_a_split_beside_rows_with_one() -> None:
    rows = [row(f"Colour {n}?", None) for n in range(60)]
    rows += [row(f"COLOUR {n}?", "test") for n in range(0, 60, 2)]
    found = loaded_splits(rows_source(rows))
    every = [question.casefold() for part in found.values() for question in asked(part)]
    teaching = {q.casefold() for name in ("train", "validation") for q in asked(found[name])}
    assert teaching.isdisjoint(question.casefold() for question in asked(found["test"]))
    assert {f"colour {n}?" for n in range(0, 60, 2)} <= {q.casefold() for q in asked(found["test"])}
    assert set(every) == {f"colour {n}?" for n in range(60)}


def test_gold_validation_keeps_what_train_asks_too() -> None:
    rows = [row("One?", "train"), row("Two?", "train"), row("one?", "validation")]
    found = loaded_splits(rows_source(rows))
    assert (asked(found["train"]), asked(found["validation"])) == (["Two?"], ["one?"])


def test_gold_a_split_of_nothing_but_copies_says_so() -> None:
    rows = [row("One?", "train"), row("one?", "test")]
    task = choice_task(name="own", description="d", chat="{question}", source=rows_source(rows))
    with pytest.raises(TaskError, match=r"split 'train' of task own is empty: all of its 1 quest"):
        task.load("train", None)


def test_gold_equal_numbers_are_one_answer() -> None:
    rows = [
        {"question": "Half?", "answer": "0.5", "split": "train"},
        {"question": "half?", "answer": "1/2", "split": "train"},
        {"question": "Third?", "answer": "3", "split": "train"},
        {"question": "third?", "answer": "1/3", "split": "train"},
    ]
    task = generate_task(
        name="own", description="d", chat="{question}", source=rows_source(rows),
        grader=grade_number, grader_version="1", max_new_tokens=4,
    )  # fmt: skip
    assert asked(task.load("train", None)) == ["Half?", "half?"]


def test_gold_a_source_of_ones_own_is_looked_at_too(caplog: pytest.LogCaptureFixture) -> None:
    texts = {"train": ["One?", "Two?"], "test": ["one?"]}

    def source(task: str, split: str, data_dir: Path | None) -> LoadedExamples:
        return LoadedExamples(
            examples=tuple(
                Example(task=task, question=text, gold="x", split=split, source=f"{split}:{number}")
                for number, text in enumerate(texts[split])
            )
        )

    task = generate_task(
        name="own", description="d", chat="{question}", source=source,
        grader=grade_exact, grader_version="1", max_new_tokens=4,
    )  # fmt: skip
    with caplog.at_level(logging.WARNING, "search_cluster"):
        assert asked(task.load("train", None)) == ["Two?"]
    assert "split validation can't be read (KeyError: 'validation')" in caplog.text
    assert asked(task.load("test", None)) == ["one?"]


def test_gold_python_and_toml_tasks_warn_and_list_what_they_leave_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "own.jsonl").write_text(
        '{"question": "One?", "answer": "x", "split": "train"}\n'
        '{"question": "one?", "answer": "x", "split": "test"}\n'
        '{"question": "Two?", "answer": "x", "split": "train"}\n'
    )
    (tmp_path / "own.toml").write_text(
        'name = "own"\ndescription = "d"\nkind = "generate"\ndata = "own.jsonl"\n'
        '[prompt]\nchat = "{question}"\n[answer]\ngrader = "exact"\nmax_new_tokens = 4\n'
    )
    (tmp_path / "own.py").write_text(
        "import json\nfrom pathlib import Path\n"
        "from search_cluster.tasks.graders import grade_exact\n"
        "from search_cluster.tasks.simple import generate_task\n"
        "from search_cluster.tasks.user_rows import rows_source\n"
        "ROWS = map(json.loads, (Path(__file__).parent / 'own.jsonl').read_text().splitlines())\n"
        "TASK = generate_task(name='own', description='d', chat='{question}',\n"
        "    source=rows_source(ROWS), grader=grade_exact, grader_version='1', max_new_tokens=4)\n"
    )
    for name in ("own.toml", "own.py"):
        caplog.clear()
        config = SearchConfig(
            task=str(tmp_path / name), run=tmp_path / f"run-{name}", split="train"
        )
        config.run.mkdir()
        with caplog.at_level(logging.WARNING, "search_cluster"):
            found = load_examples(config, get_task(config.task))
        assert [example.question for example in found.examples] == ["Two?"]
        assert "1 questions stand in more than one split" in caplog.text
        write_malformed(config.run, found.malformed)
        assert "asks the same question" in (config.run / "malformed.jsonl").read_text()


def test_gold_published_questions_with_two_answers_are_counted_and_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "arc").mkdir()
    rows = [
        {"question": question, "choices": {"text": texts, "label": ["A", "B"]}, "answerKey": "A"}
        for question, texts in (("Why?", ["this", "that"]), ("why?", ["that", "this"]))
    ]
    (tmp_path / "arc" / "ARC-Easy-Test.jsonl").write_text(
        "".join(json.dumps(item) + "\n" for item in rows)
    )
    with caplog.at_level(logging.WARNING, "search_cluster"):
        assert len(get_task("arc_easy").load("test", tmp_path).examples) == 2
    assert "task arc_easy: 1 questions have more than one answer, such as ARC-Easy" in caplog.text
