"""The built-in task ``capitals``: capitals and their places, asked in both directions.

The places are countries, states and regions.
"""

from collections.abc import Iterator

from search_cluster.tasks.builtin.places import PLACES, Place
from search_cluster.tasks.builtin.quiz import Fact, GeneratedSource, quiz_examples
from search_cluster.tasks.perturbation.wordings import QUESTION_WORDINGS
from search_cluster.tasks.raw_examples import RawExample
from search_cluster.tasks.simple import choice_task

_CAPITAL_OF = (
    "What is the capital of {place}?",
    "Which city is the capital of {place}?",
    "Name the capital city of {place}.",
)
_PLACE_OF = (
    "{capital} is the capital of which {kind}?",
    "Which {kind} has the capital {capital}?",
    "Name the {kind} whose capital is {capital}.",
)


def _facts() -> Iterator[Fact]:
    """Two facts for each place, forwards and backwards, under one key.

    Their wrong answers come from all places of the kind and from the neighbours.
    """
    for place in PLACES:
        key = f"capital of {place.kind} {place.name}"
        same_kind = [other for other in PLACES if other.kind == place.kind]
        neighbours = [other for other in same_kind if other.region == place.region]
        subject = _subject(place)
        yield Fact(
            key=key,
            wordings=tuple(text.format(place=subject) for text in _CAPITAL_OF),
            answer=place.capital,
            wrong_answers=tuple(
                tuple(other.capital for other in group) for group in (same_kind, neighbours)
            ),
        )
        yield Fact(
            key=key,
            wordings=tuple(
                text.format(capital=place.capital, kind=place.kind) for text in _PLACE_OF
            ),
            answer=place.name,
            wrong_answers=tuple(
                tuple(other.name for other in group) for group in (same_kind, neighbours)
            ),
        )


def _subject(place: Place) -> str:
    """The place as the object of a sentence: ``the Netherlands``, ``the US state of Georgia``."""
    return (
        place.article + place.name
        if place.kind == "country"
        else f"the {place.kind} of {place.name}"
    )


def _raw_examples() -> Iterator[RawExample]:
    return quiz_examples(_facts())


CAPITALS = choice_task(
    name="capitals",
    description=(
        "capitals of countries, states and regions, in both directions (built in, 4 choices)"
    ),
    chat="{question}",
    wordings=QUESTION_WORDINGS,
    source=GeneratedSource(_raw_examples),
)
