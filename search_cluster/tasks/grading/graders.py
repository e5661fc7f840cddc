"""Graders of generated answers: the letter of a choice, a number, an exact text."""

import re
from decimal import Decimal

from search_cluster.tasks.example import Example
from search_cluster.tasks.splits import normalize_text
from search_cluster.tasks.template import LETTERS

LETTER_GRADER_VERSION = "letter-1"
NUMBER_GRADER_VERSION = "number-1"
EXACT_GRADER_VERSION = "exact-1"

_BOXED_LETTER = re.compile(r"\\boxed\{\s*(?:\\text\{)?\(?([A-Z])\)?\}")
_NAMED_LETTER = re.compile(r"(?i:answer|choice|option)\s*(?i:is|:)?\s*:?\s*\**\(?([A-Z])\b")
_LONE_LETTER = re.compile(r"(?<![A-Za-z0-9'])([A-Z])(?![A-Za-z0-9'])(?! [a-z])")
"""A capital that is no part of a word and, unlike the article in ``A leaf``, is not followed by
one."""

_NUMBER = re.compile(
    r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)", re.ASCII
)


def extract_letter(text: str) -> str | None:
    """The letter that an answer names.

    It is the boxed one, else the one after "answer", else the first that stands alone.
    """
    for pattern in (_BOXED_LETTER, _NAMED_LETTER, _LONE_LETTER):
        match = pattern.search(text)
        if match:
            return match.group(1)
    return None


def grade_letter(example: Example, output: str) -> float:
    """1 if the answer names the gold letter, else 0; letters that label no choice are wrong."""
    letter = extract_letter(output)
    return float(
        letter is not None and letter in LETTERS[: len(example.choices)] and letter == example.gold
    )


def last_number(text: str) -> Decimal | None:
    """The last number of a text, exact; ``1,234.50`` and a leading minus are understood."""
    matches = _NUMBER.findall(text.replace("\N{MINUS SIGN}", "-"))
    return Decimal(matches[-1].replace(",", "")) if matches else None


def grade_number(example: Example, output: str) -> float:
    """1 if the last number of the answer equals the gold number (``18.00`` is ``18``), else 0."""
    answer = last_number(output)
    return float(answer is not None and answer == last_number(example.gold))


def grade_exact(example: Example, output: str) -> float:
    """1 if the answer is the gold text up to case, white space and a final full stop, else 0."""
    return float(
        normalize_text(output).removesuffix(".") == normalize_text(example.gold).removesuffix(".")
    )
