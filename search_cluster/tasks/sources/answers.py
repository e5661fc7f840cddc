"""Right answers of rows with choices: a choice's text, or its index.

An index says nothing about where it is counted from, and ``"2"`` among the choices ``"1"``, ``"2"``
and ``"3"`` may be a text or an index. What may mean two choices is refused, not guessed: the rest
of the rows or the setting ``answer_base`` has to tell.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from search_cluster.tasks.fields import as_choices, as_mapping, as_sequence, as_text, shown
from search_cluster.tasks.raw_examples import RowError
from search_cluster.tasks.template import LETTERS

BASES = (0, 1)
"""The numbers that the first choice may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerReading:
    """What is known about the answers of a set of rows."""

    base: int | None = None
    """The index of the first choice: 0, 1, or ``None`` if nothing tells."""
    is_stated: bool = False
    """Whether the base was stated, so that numbers are indices even where choices are numbers."""
    has_texts: bool = False
    """Whether some answer can only be the text of a choice, so that all texts are."""


UNKNOWN = AnswerReading()
"""Nothing is known, as for a row that is looked at alone."""


def reading_of(values: Iterable[object], answer_base: int | None) -> AnswerReading:
    """What rows together tell about their answers.

    A row with the answer 0 shows that indices are counted from 0, unless another one has the number
    of its choices as the answer.

    Args:
        values: the rows; those of another layout tell nothing.
        answer_base: the stated base, or ``None``.
    """
    has_zero = has_last = has_texts = False
    for value in values:
        try:
            row = as_mapping(value)
            choices = as_choices(as_sequence(row.get("choices"), "'choices'"))
        except RowError:
            continue
        answer = row.get("answer")
        if isinstance(answer, str):
            text = answer.strip()
            has_texts |= text in choices and not _named_indices(text, len(choices))
        elif isinstance(answer, int) and not isinstance(answer, bool):
            has_zero |= answer == 0
            has_last |= answer == len(choices)
    base = answer_base
    if base is None and has_zero and not has_last:
        base = 0
    return AnswerReading(base=base, is_stated=answer_base is not None, has_texts=has_texts)


def gold_index(answer: object, choices: tuple[str, ...], reading: AnswerReading) -> int:
    """The index, from 0, of the choice that the answer means.

    Raises:
        RowError: it means none, or may mean several.
    """
    if isinstance(answer, int) and not isinstance(answer, bool):
        return _from_number(answer, choices, reading)
    if not isinstance(answer, str):
        raise RowError(
            f"'answer' is {shown(answer)}; beside choices it is the text of one, or its index"
        )
    text = as_text(answer, "'answer'")
    if text not in choices:
        if text.isascii() and text.isdigit() and reading.is_stated and not reading.has_texts:
            return _from_number(int(text), choices, reading)
        advice = (
            "; write the text of the choice, or its index as a number"
            if _named_indices(text, len(choices))
            else ""
        )
        raise RowError(
            f"'answer' is {shown(text)}, which is none of the choices {shown(choices)}{advice}"
        )
    index = choices.index(text)
    others = _named_indices(text, len(choices), reading.base if reading.is_stated else None)
    if others <= {index} or reading.has_texts:
        return index
    raise RowError(
        f"'answer' is {shown(text)}, which is the text of a choice and may be the number or the "
        "letter of another; write the index as a number and state answer_base"
    )


def _from_number(answer: int, choices: tuple[str, ...], reading: AnswerReading) -> int:
    size = len(choices)
    if not 0 <= answer <= size or (
        reading.base is not None and not 0 <= answer - reading.base < size
    ):
        first = reading.base or 0
        raise RowError(
            f"'answer' is {shown(answer)}; the choices are numbered {first} to {first + size - 1}"
        )
    if reading.base is None and answer:
        raise RowError(
            f"'answer' is {answer}, an index that may be counted from 0 or from 1; state "
            "answer_base = 0 or answer_base = 1, or write the text of the choice"
        )
    index = answer - (reading.base or 0)
    if not reading.is_stated and str(answer) in choices and choices[index] != str(answer):
        raise RowError(
            f"'answer' is {answer}, which may be an index or the text of a choice; state "
            "answer_base = 0 or answer_base = 1, or write the answer as a text"
        )
    return index


def _named_indices(text: str, num_choices: int, base: int | None = None) -> set[int]:
    """The indices of choices that a text may stand for, as a number or as a letter."""
    if text.isascii() and text.isdigit() and len(text) <= len(str(num_choices)):
        bases = BASES if base is None else (base,)
        return {int(text) - first for first in bases if 0 <= int(text) - first < num_choices}
    if len(text) == 1 and text.upper() in LETTERS[:num_choices]:
        return {LETTERS.index(text.upper())}
    return set()
