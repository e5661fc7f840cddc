"""The built-in task ``arithmetic``: small sums, differences and products.

The number is generated.
"""

from collections.abc import Iterator
from itertools import product

from search_cluster.tasks.builtin.quiz import GeneratedSource
from search_cluster.tasks.grading.graders import NUMBER_GRADER_VERSION, grade_number
from search_cluster.tasks.perturbation.wordings import QUESTION_WORDINGS
from search_cluster.tasks.raw_examples import RawExample
from search_cluster.tasks.simple import generate_task

MAX_NUMBER_TOKENS = 16
_MAX_TERM = 20
_MAX_FACTOR = 12
_ROUND_TERMS = range(30, 100, 10)
"""These are added to numbers from 1 to 9, as in 30 + 7."""

_SUM = (
    "Complete the equation: {a} + {b} =",
    "Complete: {a} + {b} =",
    "Finish this: {a} + {b} =",
    "{a} plus {b} equals",
    "Add {a} and {b}.",
)
_DIFFERENCE = (
    "{a} minus {b} equals",
    "Subtract {b} from {a}.",
    "Finish this: {a} - {b} =",
)
_PRODUCT = (
    "Multiply {a} by {b}.",
    "Multiply {a} and {b}.",
    "Multiply the numbers {a} and {b}.",
    "What do you get if you multiply {a} by {b}?",
    "The product of {a} and {b} is",
)


def _ask(wordings: tuple[str, ...], name: str, a: int, b: int, result: int) -> Iterator[RawExample]:
    """One calculation in all wordings.

    What it has in common with its mirror image decides the split.
    """
    fact = f"{name} {min(a, b)} {max(a, b)}"
    for wording in wordings:
        yield RawExample(question=wording.format(a=a, b=b), gold=str(result), fact=fact)


def _raw_examples() -> Iterator[RawExample]:
    terms = range(1, _MAX_TERM + 1)
    for a, b in product(terms, repeat=2):
        if min(a, b) < 10:
            yield from _ask(_SUM, "sum", a, b, a + b)
        if b < min(a, 10):
            yield from _ask(_DIFFERENCE, "difference", a, b, a - b)
    for tens, unit in product(_ROUND_TERMS, range(1, 10)):
        yield from _ask(_SUM, "sum", tens, unit, tens + unit)
    for a, b in product(range(1, _MAX_FACTOR + 1), repeat=2):
        yield from _ask(_PRODUCT, "product", a, b, a * b)


ARITHMETIC = generate_task(
    name="arithmetic",
    description="sums, differences and products of small numbers (built in, generated)",
    chat="{question}",
    wordings=QUESTION_WORDINGS,
    source=GeneratedSource(_raw_examples),
    grader=grade_number,
    grader_version=NUMBER_GRADER_VERSION,
    max_new_tokens=MAX_NUMBER_TOKENS,
    stop_strings=("\n",),
)
