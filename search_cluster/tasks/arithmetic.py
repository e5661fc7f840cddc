"""The built-in task ``arithmetic``: small sums, differences and products; the number is generated."""

from collections.abc import Iterator

from search_cluster.tasks.drafts import Draft
from search_cluster.tasks.graders import NUMBER_GRADER_VERSION, grade_number
from search_cluster.tasks.quiz import generated_source
from search_cluster.tasks.simple import generate_task

MAX_NUMBER_TOKENS = 16
_MAX_TERM = 30
_MAX_FACTOR = 12

_UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def in_words(number: int) -> str:
    """A number from 0 to 99 in words: ``twenty-one``."""
    if number < len(_UNITS):
        return _UNITS[number]
    tens, unit = divmod(number, 10)
    return _TENS[tens] + (f"-{_UNITS[unit]}" if unit else "")


def _ask(a: int, b: int, sign: str, word: str, result: int) -> Iterator[Draft]:
    """One calculation in digits and in words; what it has in common with its mirror image decides the split."""
    fact = f"{sign} {min(a, b)} {max(a, b)}"
    for question in (f"What is {a} {sign} {b}?", f"What is {in_words(a)} {word} {in_words(b)}?"):
        yield Draft(question=question, gold=str(result), fact=fact)


def _drafts() -> Iterator[Draft]:
    for a in range(1, _MAX_TERM + 1):
        for b in range(1, _MAX_TERM + 1):
            yield from _ask(a, b, "+", "plus", a + b)
            if a > b:
                yield from _ask(a, b, "-", "minus", a - b)
    for a in range(2, _MAX_FACTOR + 1):
        for b in range(2, _MAX_FACTOR + 1):
            yield from _ask(a, b, "*", "times", a * b)


ARITHMETIC = generate_task(
    name="arithmetic",
    description="sums, differences and products of small numbers, in digits and words (built in, generated)",
    chat="{question}",
    source=generated_source(_drafts),
    grader=grade_number,
    grader_version=NUMBER_GRADER_VERSION,
    max_new_tokens=MAX_NUMBER_TOKENS,
    stop_strings=("\n",),
)
