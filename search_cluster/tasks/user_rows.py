r"""Rows of a user's own task.

A row is ``{"question": TEXT, "answer": TEXT or NUMBER}``; with ``"choices": [TEXT, ...]`` the
answer is the right choice's text, or its index. ``answer_base`` says whether indices are counted
from 0 or from 1, unless a row with the index 0 shows it. Optional keys are ``"split"`` (``train``,
``validation`` or ``test``; without it a hash of the question decides, 70/15/15) and
``"difficulty"`` (a text or a number). Other keys are ignored.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from search_cluster.errors import TaskError
from search_cluster.tasks.fields import (
    as_choices,
    as_mapping,
    as_sequence,
    as_text_or_number,
    get,
    get_text,
    shown,
)
from search_cluster.tasks.loading import Source
from search_cluster.tasks.raw_examples import (
    Converter,
    RawExample,
    Row,
    RowError,
    as_raw_example,
    collect_examples,
)
from search_cluster.tasks.sources.answers import (
    BASES,
    UNKNOWN,
    AnswerReading,
    gold_index,
    reading_of,
)
from search_cluster.tasks.sources.files import RawRows, read_rows
from search_cluster.tasks.splits import split_of
from search_cluster.tasks.task import SPLITS, LoadedExamples, MalformedRow
from search_cluster.tasks.template import LETTERS
from search_cluster.tasks.twins import keep_apart

_KEYS = ("question", "answer", "choices", "split", "difficulty")
"""What a row may hold."""


def convert_user_row(value: object, reading: AnswerReading = UNKNOWN) -> RawExample:
    """A raw example from one row of the module's layout.

    Args:
        value: the row.
        reading: what is known about the answers of all rows.

    Raises:
        RowError: the row has another layout, or its answer is none of the choices, or may be
            several of them.
    """
    row = as_mapping(value)
    _refuse_misspelled(row)
    question = get_text(row, "question")
    split = row.get("split")
    if split is None:
        split = ""
    if split != "" and split not in SPLITS:
        raise RowError(f"'split' is {shown(split)}; the splits are {', '.join(SPLITS)}")
    difficulty = as_text_or_number(row["difficulty"], "'difficulty'") if "difficulty" in row else ""
    choices = as_choices(as_sequence(row["choices"], "'choices'")) if "choices" in row else ()
    answer = get(row, "answer")
    index = gold_index(answer, choices, reading) if choices else None
    return RawExample(
        question=question,
        choices=choices,
        gold=as_text_or_number(answer, "'answer'") if index is None else choices[index],
        gold_index=index,
        split=str(split),
        difficulty=difficulty,
    )


def _refuse_misspelled(row: Mapping[str, object]) -> None:
    """Refuse a key that must be a misspelling: others are ignored, as if they were not there."""
    missing = [key for key in _KEYS if key not in row]
    for key in row:
        meant = _meant(str(key)) if key not in _KEYS else None
        if meant in missing:
            raise RowError(
                f"there is a key {shown(key)} and no {meant!r}; rename it to {meant!r}, or to "
                "something else"
            )


@lru_cache(maxsize=1024)
def _meant(key: str) -> str | None:
    return next(iter(get_close_matches(key.strip().lower(), _KEYS, n=1, cutoff=0.8)), None)


def convert_choice_row(value: object, reading: AnswerReading = UNKNOWN) -> RawExample:
    """As `convert_user_row`, for a task that scores choices."""
    raw = convert_user_row(value, reading)
    if not raw.choices:
        raise RowError("the key 'choices' is missing; a choice task needs it in every row")
    return raw


def convert_letter_row(value: object, reading: AnswerReading = UNKNOWN) -> RawExample:
    """As `convert_choice_row`, with the letter of the right choice (from A) as the gold answer."""
    raw = convert_choice_row(value, reading)
    assert raw.gold_index is not None
    return replace(raw, gold=LETTERS[raw.gold_index])


_READ_TOGETHER: dict[object, Callable[[object, AnswerReading], RawExample]] = {
    convert: convert for convert in (convert_user_row, convert_choice_row, convert_letter_row)
}
"""The converters that take what all rows together tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSource:
    """A `Source` over rows of a user's own.

    Equal questions stay in one split, and those with several answers in none
    (`search_cluster.tasks.twins`).
    """

    keeps_apart: ClassVar[bool] = True
    """Equal questions are taken out here."""
    read: Callable[[str], RawRows]
    """Gives the rows; called with the name of the task."""
    convert: Converter
    """Turns the value of a row into a raw example."""
    place: str
    """What holds the rows, for messages."""
    answer_base: int | None = None
    """The index of the first choice, 0 or 1; ``None`` if it was not stated."""

    def __post_init__(self) -> None:
        if self.answer_base is not None and (
            type(self.answer_base) is not int or self.answer_base not in BASES
        ):
            raise TaskError(
                f"answer_base is {self.answer_base!r}; it is 0 if the first choice has the index "
                "0, or 1"
            )

    def __call__(self, task: str, split: str, data_dir: Path | None) -> LoadedExamples:
        """The examples of one split.

        Raises:
            TaskError: the rows can't be read, or none is good and in the split.
        """
        rows = self._converted(list(self.read(task)))
        loaded: dict[str, LoadedExamples] = {}
        for name in SPLITS:
            try:
                loaded[name] = self._part(rows, task, name)
            except TaskError:
                if name == split:
                    raise
        return keep_apart(loaded, split, task)

    def _converted(self, rows: list[Row | MalformedRow]) -> list[Row | MalformedRow]:
        together = _READ_TOGETHER.get(self.convert)
        values = (row.value for row in rows if isinstance(row, Row))
        reading = UNKNOWN if together is None else reading_of(values, self.answer_base)
        converted: list[Row | MalformedRow] = []
        for row in rows:
            if isinstance(row, MalformedRow):
                converted.append(row)
                continue
            try:
                raw = together(row.value, reading) if together else self.convert(row.value)
                converted.append(replace(row, value=raw))
            except RowError as error:
                converted.append(MalformedRow(source=row.source, reason=str(error)))
        return converted

    def _part(self, rows: list[Row | MalformedRow], task: str, split: str) -> LoadedExamples:
        def belongs(raw: RawExample) -> bool:
            return (raw.split or split_of(raw.question)) == split

        return collect_examples(
            rows, as_raw_example, task=task, split=split, belongs=belongs, place=self.place
        )


def rows_source(
    rows: Iterable[object],
    convert: Converter = convert_user_row,
    *,
    answer_base: int | None = None,
) -> Source:
    """A source over rows that a Python file holds or computes.

    Bad rows are named by their number, from 0.

    Args:
        rows: the rows.
        convert: turns a row into a raw example.
        answer_base: the index of the first choice, 0 or 1, where answers are indices.

    Raises:
        TaskError: the base is neither.
    """
    kept = tuple(rows)
    return UserSource(
        read=lambda task: _numbered(task, kept),
        convert=convert,
        place="the list of rows",
        answer_base=answer_base,
    )


def _numbered(task: str, rows: tuple[object, ...]) -> Iterator[Row]:
    for number, value in enumerate(rows):
        yield Row(source=f"{task}:{number}", value=value)


def file_source(
    path: Path, convert: Converter = convert_user_row, *, answer_base: int | None = None
) -> Source:
    """A source over a JSONL file, with the arguments of `rows_source`."""
    return UserSource(
        read=lambda task: read_rows(path), convert=convert, place=str(path), answer_base=answer_base
    )
