r"""Rows of a user's own task.

A row is ``{"question": TEXT, "answer": TEXT or NUMBER}``; with ``"choices": [TEXT, ...]`` the
answer is the right choice's text, or its index from 0. Optional keys are ``"split"``
(``train``, ``validation`` or ``test``; without it a hash of the question decides, 70/15/15) and
``"difficulty"`` (a text or a number). Other keys are ignored.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from search_cluster.tasks.fields import (
    as_choices,
    as_mapping,
    as_sequence,
    as_text,
    as_text_or_number,
    get,
    get_text,
    shown,
)
from search_cluster.tasks.files import RawRows, read_rows
from search_cluster.tasks.raw_examples import Converter, RawExample, Row, RowError, collect_examples
from search_cluster.tasks.simple import Source
from search_cluster.tasks.splits import split_of
from search_cluster.tasks.task import SPLITS, LoadedExamples
from search_cluster.tasks.template import LETTERS


def convert_user_row(value: object) -> RawExample:
    """A raw example from one row of the module's layout.

    Raises:
        RowError: the row has another layout, or its answer is none of the choices.
    """
    row = as_mapping(value)
    question = get_text(row, "question")
    split = row.get("split", "")
    if split and split not in SPLITS:
        raise RowError(f"'split' is {shown(split)}; the splits are {', '.join(SPLITS)}")
    difficulty = as_text_or_number(row["difficulty"], "'difficulty'") if "difficulty" in row else ""
    choices = as_choices(as_sequence(row["choices"], "'choices'")) if "choices" in row else ()
    gold, gold_index = _gold(get(row, "answer"), choices)
    return RawExample(
        question=question,
        choices=choices,
        gold=gold,
        gold_index=gold_index,
        split=str(split),
        difficulty=difficulty,
    )


def _gold(answer: object, choices: tuple[str, ...]) -> tuple[str, int | None]:
    if not choices:
        return as_text_or_number(answer, "'answer'"), None
    if isinstance(answer, int) and not isinstance(answer, bool):
        if not 0 <= answer < len(choices):
            raise RowError(
                f"'answer' is {shown(answer)}; the choices are numbered 0 to {len(choices) - 1}"
            )
        return choices[answer], answer
    text = as_text(answer, "'answer'")
    if text not in choices:
        raise RowError(f"'answer' is {shown(text)}, which is none of the choices {shown(choices)}")
    return text, choices.index(text)


def convert_choice_row(value: object) -> RawExample:
    """As `convert_user_row`, for a task that scores choices."""
    raw = convert_user_row(value)
    if not raw.choices:
        raise RowError("the key 'choices' is missing; a choice task needs it in every row")
    return raw


def convert_letter_row(value: object) -> RawExample:
    """As `convert_choice_row`, with the letter of the right choice (from A) as the gold answer."""
    raw = convert_choice_row(value)
    assert raw.gold_index is not None
    return RawExample(
        question=raw.question,
        choices=raw.choices,
        gold=LETTERS[raw.gold_index],
        gold_index=raw.gold_index,
        difficulty=raw.difficulty,
        split=raw.split,
    )


def _load(rows: RawRows, convert: Converter, task: str, split: str, place: str) -> LoadedExamples:
    def belongs(raw: RawExample) -> bool:
        return (raw.split or split_of(raw.question)) == split

    return collect_examples(rows, convert, task=task, split=split, belongs=belongs, place=place)


def rows_source(rows: Iterable[object], convert: Converter = convert_user_row) -> Source:
    """A source over rows that a Python file holds or computes.

    Bad rows are named by their number, from 0.
    """
    kept = tuple(rows)

    def source(task: str, split: str, data_dir: Path | None) -> LoadedExamples:
        return _load(_numbered(task, kept), convert, task, split, "the list of rows")

    return source


def _numbered(task: str, rows: tuple[object, ...]) -> Iterator[Row]:
    for number, value in enumerate(rows):
        yield Row(source=f"{task}:{number}", value=value)


def file_source(path: Path, convert: Converter = convert_user_row) -> Source:
    """A source over a JSONL file."""

    def source(task: str, split: str, data_dir: Path | None) -> LoadedExamples:
        return _load(read_rows(path), convert, task, split, str(path))

    return source
