"""What each grader of this package asks of a gold answer.

An example whose gold answer its grader can't read would call every answer wrong, or a wrong one
right.
"""

from collections.abc import Callable
from dataclasses import dataclass

from search_cluster.tasks.example import Example
from search_cluster.tasks.fields import shown
from search_cluster.tasks.grading.graders import (
    CHOICE_GRADER_VERSION,
    EXACT_GRADER_VERSION,
    LETTER_GRADER_VERSION,
    NUMBER_GRADER_VERSION,
    gold_number,
    grade_choice,
    grade_exact,
    grade_letter,
    grade_number,
    levelled_answer,
)
from search_cluster.tasks.grading.math_answers import MATH_GRADER_VERSION, grade_math
from search_cluster.tasks.template import LETTERS


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldCheck:
    """What a grader asks of gold answers."""

    version: str
    """The version of the grader."""
    problem: Callable[[Example], str | None]
    """Why it can't use the gold answer of an example; ``None`` if it can."""


def gold_check_of(grader: Callable[[Example, str], float]) -> GoldCheck | None:
    """The check of one of this package's graders, ``None`` for any other."""
    return _CHECKS.get(grader)


def _number_gold_problem(example: Example) -> str | None:
    """Why the gold answer is no number that can be compared; ``None`` if it is one."""
    if gold_number(example.gold) is not None:
        return None
    return (
        f"the answer is {shown(example.gold)}; the grader needs one number that can be read in one "
        "way only, such as 1234.5"
    )


def _choice_gold_problem(example: Example) -> str | None:
    """Why the gold answer is not the text of the choice that is said to be right."""
    index = example.gold_index
    if index is not None and example.choices[index : index + 1] == (example.gold,) and index >= 0:
        return None
    return (
        f"the answer is {shown(example.gold)} and its index {index}; the choices are "
        f"{shown(example.choices)}, numbered from 0: give the text of one and its index"
    )


def _letter_gold_problem(example: Example) -> str | None:
    """Why the gold answer is not the letter of a choice; ``None`` if it is."""
    labels = LETTERS[: len(example.choices)]
    index = labels.find(example.gold) if len(example.gold) == 1 else -1
    if index >= 0 and example.gold_index in (None, index):
        return None
    return (
        f"the answer is {shown(example.gold)}; the grader needs the letter of the right one of "
        f"{len(example.choices)} choices: read the rows with convert_letter_row"
    )


def _exact_gold_problem(example: Example) -> str | None:
    """Why no answer should equal the gold answer; ``None`` if one may."""
    if levelled_answer(example.gold):
        return None
    return f"the answer is {shown(example.gold)}, which an empty answer would equal"


_CHECKS: dict[Callable[[Example, str], float], GoldCheck] = {
    grade_choice: GoldCheck(version=CHOICE_GRADER_VERSION, problem=_choice_gold_problem),
    grade_exact: GoldCheck(version=EXACT_GRADER_VERSION, problem=_exact_gold_problem),
    grade_letter: GoldCheck(version=LETTER_GRADER_VERSION, problem=_letter_gold_problem),
    grade_math: GoldCheck(version=MATH_GRADER_VERSION, problem=lambda example: None),
    grade_number: GoldCheck(version=NUMBER_GRADER_VERSION, problem=_number_gold_problem),
}
