"""Graders of answers: a choice's text, its letter, a number, an exact text."""

import re
from collections.abc import Sequence

from search_cluster.tasks.example import Example
from search_cluster.tasks.grading.boxed import last_boxed, own_answer
from search_cluster.tasks.grading.letters import extract_letter
from search_cluster.tasks.grading.numbers import FoundNumber, last_number, only_number
from search_cluster.tasks.template import LETTERS
from search_cluster.tasks.twins import question_key

CHOICE_GRADER_VERSION = "choice-text-1"
LETTER_GRADER_VERSION = "letter-2"
NUMBER_GRADER_VERSION = "number-2"
EXACT_GRADER_VERSION = "exact-2"
GOLD_MARK = "####"
"""Stands before the answer in solutions that are written out, as in GSM8K."""


def grade_choice(example: Example, output: str) -> float:
    """1 if the chosen text is that of the right choice, else 0."""
    return float(output == example.gold)


def grade_letter(example: Example, output: str) -> float:
    """1 if the answer names the gold letter and no other, else 0.

    Letters that label no choice are wrong. So is what may mean another choice: ``A``, where that is
    the text of choice B, or ``B) iron``, where iron is choice C.
    """
    labels = LETTERS[: len(example.choices)]
    plain = _without_labelled_texts(output, labels, example.choices)
    letter = extract_letter(plain)
    if letter is None or letter != example.gold or letter not in labels:
        return 0.0
    said = levelled_answer(plain)
    behind = re.search(rf"(?<!\w){letter.lower()}\b\W+(.*)", said)
    meant = {behind[1]} if behind and behind[1] else set()
    if plain == output:  # no text beside the letter says what it means
        meant |= {said, letter.lower()}
    others = zip(example.choices, labels, strict=True)
    return float(
        all(levelled_answer(text) not in meant for text, label in others if label != letter)
    )


def _without_labelled_texts(output: str, labels: str, choices: Sequence[str]) -> str:
    """The answer with ``B`` for ``B) iron``, where iron is choice B.

    What stands in the text of a choice (``carbon [C]``, ``not enough iron``) then says nothing of
    other letters.
    """
    for label, text in zip(labels, choices, strict=True):
        if text in output:
            labelled = rf"(?<!\w)(?i:{label})[\s.):\]\"*-]+{re.escape(text)}(?!\w)"
            output = re.sub(labelled, label, output)
    return output


def grade_number(example: Example, output: str) -> float:
    """1 if the last number of the answer equals the gold number (``18.00`` is ``18``), else 0."""
    answer, gold = last_number(output), gold_number(example.gold)
    return float(gold is not None and answer is not None and answer == gold.value)


def grade_exact(example: Example, output: str) -> float:
    """1 if the answer is the gold text up to how it is typed and a final full stop, else 0.

    How it is typed: case, white space, width, quotation marks, dashes, composed characters. Another
    question that the answer goes on to ask says nothing.
    """
    said = {levelled_answer(output), levelled_answer(own_answer(output))}
    return float(levelled_answer(example.gold) in said)


def gold_number(text: str) -> FoundNumber | None:
    r"""The one number of a gold answer, ``None`` if it holds none, several or an unclear one.

    Of a solution that is written out it is the number behind the last ``####`` or in the last
    ``\boxed{}``.
    """
    _, mark, final = text.rpartition(GOLD_MARK)
    boxed = last_boxed(text)
    return only_number(final if mark else text if boxed is None else boxed)


def levelled_answer(text: str) -> str:
    """The text as `question_key` levels it, without a final full stop."""
    return question_key(text).removesuffix(".").removesuffix("。")
