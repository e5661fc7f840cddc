"""Checked access to the values of raw rows: every doubt becomes a `RowError` that names the key."""

import json
import reprlib
from collections.abc import Mapping, Sequence

from search_cluster.tasks.raw_examples import RowError

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 5
_SHORT.maxlevel = 2
_LARGEST_NUMBER = 1e100
"""Numbers beyond this are refused, since nobody means them as an answer."""


def shown(value: object) -> str:
    """A value as a message shows it: its ``repr``, shortened in length and depth."""
    return _SHORT.repr(value)


def as_mapping(value: object, what: str = "the row") -> Mapping[str, object]:
    """The value as an object with string keys."""
    if not isinstance(value, Mapping):
        raise RowError(f"{what} is {shown(value)}; it has to be an object")
    return value


def get(row: Mapping[str, object], key: str) -> object:
    """The value of a key that has to be there."""
    if key not in row:
        raise RowError(f"the key {key!r} is missing; the keys are {shown(sorted(map(str, row)))}")
    return row[key]


def as_text(value: object, what: str) -> str:
    """The value as a text without white space around it; it is neither empty nor broken UTF-8."""
    if not isinstance(value, str):
        raise RowError(f"{what} is {shown(value)}; it has to be a text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RowError(f"{what} is {shown(value)}, which is not valid UTF-8") from error
    if not value.strip():
        raise RowError(f"{what} is empty")
    return value.strip()


def as_text_or_number(value: object, what: str) -> str:
    """The value as `as_text` gives it; a number (neither NaN nor huge) as JSON writes it.

    A whole number is written without a point: tables with gaps turn 5 into 5.0.
    """
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= _LARGEST_NUMBER
    ):
        is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
        return json.dumps(int(value) if is_whole else value)
    return as_text(value, what)


def get_text(row: Mapping[str, object], key: str) -> str:
    """The text under a key."""
    return as_text(get(row, key), f"{key!r}")


def as_sequence(value: object, what: str) -> Sequence[object]:
    """The value as a list."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise RowError(f"{what} is {shown(value)}; it has to be a list")
    return value


def as_choices(values: Sequence[object]) -> tuple[str, ...]:
    """The values as the texts of choices: 2 to 26 of them, no two alike."""
    texts = tuple(
        as_text(value, f"choice {number}") for number, value in enumerate(values, start=1)
    )
    if not 2 <= len(texts) <= 26:
        raise RowError(f"{len(texts)} choices; a question has 2 to 26")
    if len(set(texts)) < len(texts):
        raise RowError(f"two of the choices {shown(texts)} are the same text")
    return texts
