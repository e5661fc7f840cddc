"""Right answers of rows with choices: texts and indices that mean one choice, or are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from search_cluster.errors import TaskError
from search_cluster.tasks.graders import grade_exact, grade_letter, grade_number
from search_cluster.tasks.loading import Grader
from search_cluster.tasks.raw_examples import RawExample, RowError
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.simple import choice_task, generate_task
from search_cluster.tasks.task import LoadedExamples
from search_cluster.tasks.user_rows import convert_letter_row, convert_user_row, rows_source

COLOURS = ["red", "green", "blue", "grey"]
NUMBERS = ["1", "2", "3"]


def load(rows: list[dict[str, Any]], answer_base: int | None = None) -> LoadedExamples:
    named = [
        {"question": f"Which is {number}?", "split": "train", **row}
        for number, row in enumerate(rows)
    ]
    task = choice_task(
        name="own",
        description="d",
        chat="{question}",
        source=rows_source(named, answer_base=answer_base),
    )
    return task.load("train", None)


def row(choices: list[str], answer: object) -> dict[str, Any]:
    return {"choices": choices, "answer": answer}


def golds(loaded: LoadedExamples) -> list[str]:
    return [example.gold for example in loaded.examples]


def test_gold_indices_from_1_are_asked_for() -> None:
    rows = [row(COLOURS, answer) for answer in (1, 2, 3, 4)]
    with pytest.raises(TaskError, match="own:0: 'answer' is 1, an index that may be counted from"):
        load(rows)
    assert golds(load(rows, answer_base=1)) == COLOURS


def test_gold_indices_that_show_no_base_are_asked_for() -> None:
    rows = [row(COLOURS, answer) for answer in (1, 2, 3)]
    with pytest.raises(TaskError, match="state answer_base = 0 or answer_base = 1, or write"):
        load(rows)
    assert golds(load(rows, answer_base=0)) == COLOURS[1:]
    assert golds(load(rows, answer_base=1)) == COLOURS[:3]


def test_gold_a_row_with_index_0_shows_the_base() -> None:
    assert golds(load([row(COLOURS, answer) for answer in (3, 0, 1)])) == ["grey", "red", "green"]


def test_gold_rows_that_show_both_bases_are_asked_for() -> None:
    with pytest.raises(TaskError, match="'answer' is 4, an index that may be counted from 0"):
        load([row(COLOURS, answer) for answer in (4,)])
    loaded = load([row(COLOURS, answer) for answer in (0, 4, 1)])
    assert golds(loaded) == ["red"]  # 0 means the first one in either case
    assert len(loaded.malformed) == 2


@pytest.mark.parametrize("answer", [4, -1, 10**30])
def test_gold_indices_out_of_range_name_value_and_range(answer: int) -> None:
    loaded = load([row(COLOURS, 0), row(COLOURS, answer)], answer_base=0)
    assert [item.source for item in loaded.malformed] == ["own:1"]
    assert "the choices are numbered 0 to 3" in loaded.malformed[0].reason


@pytest.mark.parametrize("answer", [2.0, True, None, ["red"], {"text": "red"}])
def test_gold_what_is_neither_text_nor_index_is_named(answer: object) -> None:
    with pytest.raises(RowError, match="beside choices it is the text of one, or its index"):
        convert_user_row({"question": "q", **row(COLOURS, answer)})


@pytest.mark.parametrize("answer", ["2", 2])
def test_gold_a_number_that_is_a_choices_text_is_refused(answer: object) -> None:
    with pytest.raises(RowError, match=r"'answer' is '?2'?, (which is the text|an index that)"):
        convert_user_row({"question": "q", **row(NUMBERS, answer)})
    with pytest.raises(TaskError, match="not one good row among 1"):
        load([row(NUMBERS, answer)])


def test_gold_an_index_0_does_not_tell_index_from_text() -> None:
    loaded = load([row(COLOURS, 0), row(NUMBERS, 2)])
    assert golds(loaded) == ["red"]
    assert "an index or the text of a choice" in loaded.malformed[0].reason
    assert golds(load([row(COLOURS, 0), row(NUMBERS, 2)], answer_base=0)) == ["red", "3"]


def test_gold_texts_elsewhere_tell_that_numbers_are_texts() -> None:
    assert golds(load([row(NUMBERS, "2"), row(["12", "15"], "15")])) == ["2", "15"]
    assert golds(load([row(NUMBERS, "2"), row(COLOURS, "red")])) == ["2", "red"]


def test_gold_a_letter_that_is_another_choices_text_is_refused() -> None:
    shuffled = ["B", "A", "C"]
    with pytest.raises(RowError, match="may be the number or the letter of another"):
        convert_user_row({"question": "q", **row(shuffled, "B")})
    assert golds(load([row(["A", "B", "C"], "B")])) == ["B"]
    assert golds(load([row(shuffled, "B"), row(COLOURS, "red")])) == ["B", "red"]


def test_gold_digits_in_quotes_are_indices_only_if_the_base_is_stated() -> None:
    with pytest.raises(TaskError, match="'answer' is '1', which is none of the choices"):
        load([row(COLOURS, "1")])
    assert golds(load([row(COLOURS, "1"), row(COLOURS, "4")], answer_base=1)) == ["red", "grey"]


@pytest.mark.parametrize("base", [2, -1, True, "0"])
def test_gold_a_base_that_is_neither_0_nor_1_is_refused(base: Any) -> None:
    with pytest.raises(TaskError, match=r"answer_base is .*; it is 0 if the first choice"):
        rows_source([], answer_base=base)


def test_gold_letters_follow_the_stated_base() -> None:
    rows = [{"question": "q", "split": "test", **row(COLOURS, 1)}]
    for base, letter in ((0, "B"), (1, "A")):
        source = rows_source(rows, convert_letter_row, answer_base=base)
        assert source("t", "test", None).examples[0].gold == letter


def test_gold_the_base_in_toml(tmp_path: Path) -> None:
    rows = [{"question": f"{n}?", "split": "test", **row(COLOURS, n)} for n in (1, 2, 3, 4)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(item) + "\n" for item in rows))
    text = 'name = "own"\ndescription = "d"\nkind = "choice"\ndata = "own.jsonl"\n{base}\n'
    text += '[prompt]\nchat = "{{question}}"\n'
    path = tmp_path / "own.toml"
    path.write_text(text.format(base=""))
    with pytest.raises(TaskError, match=r"own\.jsonl:1: 'answer' is 1, an index that may be"):
        get_task(str(path)).load("test", None)
    path.write_text(text.format(base="answer_base = 1"))
    assert golds(get_task(str(path)).load("test", None)) == COLOURS
    for wrong in ("2", "true", '"1"'):
        path.write_text(text.format(base=f"answer_base = {wrong}"))
        with pytest.raises(TaskError, match="does not describe a task: answer_base: Input should"):
            get_task(str(path))


def generated(grader: Grader, rows: list[dict[str, Any]]) -> LoadedExamples:
    task = generate_task(
        name="own", description="d", chat="{question}", grader=grader, grader_version="1",
        max_new_tokens=4, source=rows_source([{"split": "test", **item} for item in rows]),
    )  # fmt: skip
    return task.load("test", None)


@pytest.mark.parametrize(
    ("gold", "index"), [("red", 1), ("red", None), ("red", -4), ("red", 4), ("gold", 0)]
)
def test_gold_text_and_index_of_a_converter_of_ones_own_belong_together(
    gold: str, index: int | None
) -> None:
    def convert(value: object) -> RawExample:
        is_good = value == "good"
        return RawExample(
            question=str(value),
            choices=tuple(COLOURS),
            gold="red" if is_good else gold,
            gold_index=0 if is_good else index,
            split="test",
        )

    task = choice_task(
        name="own", description="d", chat="{question}", source=rows_source(["good", "bad"], convert)
    )
    loaded = task.load("test", None)
    assert golds(loaded) == ["red"]
    assert f"and its index {index}; the choices are" in loaded.malformed[0].reason


def test_gold_numbers_that_cannot_be_read_are_named() -> None:
    answers = ["1.5e3", "five", 7, "2,5", "3 or 4", "1 1/2", 1e22]
    loaded = generated(
        grade_number, [{"question": f"{n}?", "answer": item} for n, item in enumerate(answers)]
    )
    assert golds(loaded) == ["1.5e3", "7", "1 1/2", "1e+22"]
    assert [item.source for item in loaded.malformed] == ["own:1", "own:3", "own:4"]
    assert "'five'; the grader needs one number" in loaded.malformed[0].reason
    with pytest.raises(TaskError, match="not one of 1 gold answers can be read; the first, own:0"):
        generated(grade_number, [{"question": "q", "answer": "many"}])


def test_gold_letters_that_label_no_choice_are_named() -> None:
    with pytest.raises(TaskError, match="'B'; the grader needs the letter of the right one of 0"):
        generated(grade_letter, [{"question": "A. x B. y", "answer": "B"}])
    with pytest.raises(
        TaskError, match=r"'red'; the grader needs the letter .* convert_letter_row"
    ):
        generated(grade_letter, [{"question": "q", **row(COLOURS, "red")}])


def test_gold_texts_that_nothing_equals_are_named() -> None:
    with pytest.raises(TaskError, match="which an empty answer would equal"):
        generated(grade_exact, [{"question": "q", "answer": "."}])


def test_gold_whole_numbers_from_tables_with_gaps_have_no_point() -> None:
    rows = [{"question": "2+3?", "answer": 5.0}, {"question": "half?", "answer": 0.5}]
    assert golds(generated(grade_exact, rows)) == ["5", "0.5"]


def test_gold_a_composed_answer_equals_a_decomposed_one() -> None:
    (example,) = generated(
        grade_exact, [{"question": "q", "answer": "caf\N{LATIN SMALL LETTER E WITH ACUTE}"}]
    ).examples
    assert grade_exact(example, "Cafe\N{COMBINING ACUTE ACCENT}.") == 1.0
    assert grade_exact(example, "Cafe.") == 0.0


def test_gold_a_grader_of_ours_enters_the_version_whatever_the_task_says() -> None:
    def own(example: Any, output: str) -> float:
        return grade_number(example, output)

    settings: dict[str, Any] = {
        "name": "own", "description": "d", "chat": "{question}", "source": rows_source([]),
        "max_new_tokens": 4,
    }  # fmt: skip
    ours, theirs = (
        generate_task(**settings, grader=grader, grader_version="1")
        for grader in (grade_number, own)
    )
    assert ours.version != theirs.version
    plain = generate_task(**settings, grader=grade_number, grader_version="number-2")
    assert plain.version == generate_task(**settings, grader=own, grader_version="number-2").version


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("choice", "choices"),
        ("Split", "split"),
        ("spilt", "split"),
        ("Answer", "answer"),
        ("dificulty", "difficulty"),
    ],
)
def test_gold_misspelled_keys_of_rows_are_named(key: str, meant: str) -> None:
    good = {"question": "q", "answer": "red", "choices": COLOURS, "split": "test", "difficulty": 1}
    bad = {key if name == meant else name: value for name, value in good.items()}
    with pytest.raises(RowError, match=f"there is a key '{key}' and no '{meant}'; rename it"):
        convert_user_row(bad)
    assert convert_user_row({**good, key: "x", "question_id": 7, "id": 3}).gold == "red"


def test_gold_a_key_that_stands_twice_in_a_row_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text(
        '{"question": "q", "answer": "a", "answer": "b", "split": "test"}\n'
        '{"question": "r", "answer": "a", "split": "test"}\n'
    )
    (tmp_path / "own.toml").write_text(
        'name = "own"\ndescription = "d"\nkind = "generate"\ndata = "own.jsonl"\n'
        '[prompt]\nchat = "{question}"\n[answer]\ngrader = "exact"\nmax_new_tokens = 4\n'
    )
    loaded = get_task(str(tmp_path / "own.toml")).load("test", None)
    assert [item.source for item in loaded.malformed] == ["own.jsonl:1"]
    assert "the key 'answer' stands twice" in loaded.malformed[0].reason


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            'wording = "x"\n[prompt]',
            r"wording is no field \(did you mean prompt\.wordings\?\); the task has name",
        ),
        ("max_new_tokens = 4\n[prompt]", r"max_new_tokens is no field \(did you mean answer\."),
        ('grader = "exact"\n[prompt]', r"grader is no field \(did you mean answer\.grader\?\)"),
        ('doc_to_text = "x"\n[prompt]', r"doc_to_text is no field \(did you mean prompt\.chat\?\)"),
        ('output_type = "x"\n[prompt]', r"output_type is no field \(did you mean kind\?\)"),
        (
            "answerbase = 1\n[prompt]",
            r"answerbase is no field \(did you mean answer_base or answer",
        ),
        (
            '[prompt]\nplan = "x"',
            r"prompt\.plan is no field \(did you mean prompt\.plain\?\); \[prompt",
        ),
        ('[prompt]\nstop = "x"', r"prompt\.stop is no field; \[prompt\] has chat, plain, wordings"),
    ],
)
def test_gold_an_unknown_field_names_the_nearest_ones(
    tmp_path: Path, line: str, message: str
) -> None:
    (tmp_path / "own.jsonl").write_text("")
    text = f'name = "own"\ndescription = "d"\nkind = "choice"\ndata = "own.jsonl"\n{line}\n'
    (tmp_path / "own.toml").write_text(text + 'chat = "{question}"\n')
    with pytest.raises(TaskError, match=message) as caught:
        get_task(str(tmp_path / "own.toml"))
    assert "\n" not in str(caught.value)
