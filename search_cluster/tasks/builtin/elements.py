"""The built-in task ``elements``: symbols of the chemical elements, and their atomic numbers.

Symbols are asked in both directions.
"""

from collections.abc import Iterator

from search_cluster.tasks.builtin.periodic_table import ELEMENTS, Element
from search_cluster.tasks.builtin.quiz import Fact, GeneratedSource, quiz_examples
from search_cluster.tasks.perturbation.wordings import QUESTION_WORDINGS
from search_cluster.tasks.raw_examples import RawExample
from search_cluster.tasks.simple import choice_task

_SYMBOL_OF = (
    "What is the chemical symbol of {name}?",
    "Write the chemical symbol for {name}.",
    "Which symbol stands for {name} in the periodic table?",
    "How is the element {name} abbreviated in chemistry?",
)
_NAME_OF = (
    "Which element has the chemical symbol {symbol}?",
    "What does the chemical symbol {symbol} stand for?",
    "What element does {symbol} stand for in the periodic table?",
    "Name the chemical element with the symbol {symbol}.",
)
_NUMBER_OF = (
    "What is the atomic number of {name}?",
    "How many protons does an atom of {name} have?",
    "The atomic number of {name} is what?",
)
_NEAR = 8
"""Neighbours in the periodic table are at most this many places away."""
_MIN_ALIKE = 5
"""Elements whose symbol starts alike make a group of hard distractors from this many on, the right
one included."""


def _facts() -> Iterator[Fact]:
    """Three facts for each element: its symbol in both directions under one key, and its number."""
    for element in ELEMENTS:
        near = tuple(other for other in ELEMENTS if abs(other.number - element.number) <= _NEAR)
        alike = tuple(other for other in ELEMENTS if other.symbol[0] == element.symbol[0])
        groups = (ELEMENTS, alike if len(alike) >= _MIN_ALIKE else near)
        yield _fact(
            element, "symbol", _SYMBOL_OF, [[other.symbol for other in group] for group in groups]
        )
        yield _fact(
            element,
            "name",
            _NAME_OF,
            [[other.name.capitalize() for other in group] for group in groups],
        )
        numbers = [[str(other.number) for other in group] for group in (ELEMENTS, near)]
        yield _fact(element, "number", _NUMBER_OF, numbers)


def _fact(
    element: Element, asked: str, wordings: tuple[str, ...], wrong_answers: list[list[str]]
) -> Fact:
    fields = {"name": element.name, "symbol": element.symbol, "number": str(element.number)}
    return Fact(
        key=f"{'number' if asked == 'number' else 'symbol'} of {element.name}",
        wordings=tuple(text.format(**fields) for text in wordings),
        answer=fields[asked].capitalize() if asked == "name" else fields[asked],
        wrong_answers=tuple(tuple(group) for group in wrong_answers),
    )


def _raw_examples() -> Iterator[RawExample]:
    return quiz_examples(_facts())


ELEMENTS_TASK = choice_task(
    name="elements",
    description=(
        "symbols (in both directions) and atomic numbers of the chemical elements (built in, 4 "
        "choices)"
    ),
    chat="{question}",
    wordings=QUESTION_WORDINGS,
    source=GeneratedSource(_raw_examples),
)
