"""The built-in task ``elements``: symbols and atomic numbers of the chemical elements, asked in both directions."""

from collections.abc import Iterator

from search_cluster.tasks.drafts import Draft
from search_cluster.tasks.periodic_table import ELEMENTS, Element
from search_cluster.tasks.quiz import Fact, generated_source, quiz_drafts
from search_cluster.tasks.simple import choice_task

_SYMBOL_OF = (
    "What is the chemical symbol of {name}?",
    "Which symbol stands for {name} in the periodic table?",
    "How is the element {name} abbreviated in chemistry?",
)
_NAME_OF_SYMBOL = (
    "Which element has the chemical symbol {symbol}?",
    "What element does {symbol} stand for in the periodic table?",
    "Name the chemical element with the symbol {symbol}.",
)
_NUMBER_OF = (
    "What is the atomic number of {name}?",
    "How many protons does an atom of {name} have?",
    "Which place does {name} have in the periodic table, counted from hydrogen as 1?",
)
_NAME_OF_NUMBER = (
    "Which element has the atomic number {number}?",
    "Which element has {number} protons in its nucleus?",
    "Name the chemical element with atomic number {number}.",
)
_NEAR = 8
"""Neighbours in the periodic table are at most this many places away."""


def _facts() -> Iterator[Fact]:
    """Four facts an element; symbol and number are split on their own, each with both of its directions."""
    for element in ELEMENTS:
        near = tuple(other for other in ELEMENTS if abs(other.number - element.number) <= _NEAR)
        alike = tuple(other for other in ELEMENTS if other.symbol[0] == element.name[0].upper())
        pools = (ELEMENTS, alike if len(alike) > 4 else near)
        yield from _both_ways(element, "symbol", _SYMBOL_OF, _NAME_OF_SYMBOL, pools)
        yield from _both_ways(element, "number", _NUMBER_OF, _NAME_OF_NUMBER, (ELEMENTS, near))


def _both_ways(
    element: Element,
    attribute: str,
    forwards: tuple[str, ...],
    backwards: tuple[str, ...],
    pools: tuple[tuple[Element, ...], ...],
) -> Iterator[Fact]:
    key = f"{attribute} of {element.name}"
    fields = {"name": element.name, "symbol": element.symbol, "number": element.number}
    yield Fact(
        key=key,
        wordings=tuple(text.format(**fields) for text in forwards),
        answer=str(fields[attribute]),
        pools=tuple(tuple(str(getattr(other, attribute)) for other in pool) for pool in pools),
    )
    yield Fact(
        key=key,
        wordings=tuple(text.format(**fields) for text in backwards),
        answer=element.name.capitalize(),
        pools=tuple(tuple(other.name.capitalize() for other in pool) for pool in pools),
    )


def _drafts() -> Iterator[Draft]:
    return quiz_drafts(_facts())


ELEMENTS_TASK = choice_task(
    name="elements",
    description="symbols and atomic numbers of the chemical elements, in both directions (built in, 4 choices)",
    chat="{question}",
    source=generated_source(_drafts),
)
