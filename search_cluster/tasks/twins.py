"""Equal questions in several splits, or with several answers.

A question that teaches and is asked again in a test makes a router look better than it is, and one
with two answers makes right answers wrong. Both are taken out by what they ask, not by how they are
typed.
"""

import logging
import re
import unicodedata
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain

from search_cluster.errors import TaskError
from search_cluster.tasks.example import Example
from search_cluster.tasks.fields import shown
from search_cluster.tasks.grading.numbers import only_number
from search_cluster.tasks.splits import normalize_text
from search_cluster.tasks.task import SPLITS, LoadedExamples, MalformedRow

_logger = logging.getLogger(__name__)
_OWN_MEANING = ("<super>", "<sub>", "<fraction>")
"""Unicode's compatible forms that mean something else: ``2²`` is not 22."""
_TYPED_OTHERWISE = str.maketrans(
    {**dict.fromkeys("‘’‛′", "'"), **dict.fromkeys("“”„″", '"'), **dict.fromkeys("‐‑‒–—−", "-")}
)
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_Copy = tuple[str, Example]
"""A question and the split in which it stands."""


def question_key(text: str) -> str:
    """A text that is the same however a question is typed.

    Levelled are case, white space, width, quotation marks, dashes, composed and invisible
    characters.
    """
    if not text.isascii():
        text = _NOT_ASCII.sub(_plain_character, unicodedata.normalize("NFC", text))
        text = unicodedata.normalize("NFC", text)
    return normalize_text(text)


def asked_key(question: str) -> str:
    """As `question_key`, without the mark in which a question ends or that is missing there."""
    return question_key(question).rstrip(" ?.。")


def _plain_character(match: re.Match[str]) -> str:
    return _plain(match[0])


@lru_cache(maxsize=4096)
def _plain(character: str) -> str:
    if unicodedata.category(character) == "Cf":
        return ""
    if unicodedata.decomposition(character).startswith(_OWN_MEANING):
        return character
    return unicodedata.normalize("NFKC", character.translate(_TYPED_OTHERWISE))


def keep_apart(loaded: Mapping[str, LoadedExamples], split: str, task: str) -> LoadedExamples:
    """One of the splits, without questions that others ask again or that have several answers.

    Two questions are one if their texts are, up to a final question mark or full stop, and the
    texts of their choices in any order. Of a
    question in several splits the copies in test stay, else those in validation. Of one with
    several answers no copy stays. What is left out is listed with the malformed rows, and a warning
    counts it.

    Args:
        loaded: the examples of every split that there is.
        split: the one that is asked for.
        task: the name of the task, for messages.

    Raises:
        TaskError: nothing is left in the split.
    """
    groups: dict[object, list[_Copy]] = {}
    for name in SPLITS:
        for example in loaded[name].examples if name in loaded else ():
            groups.setdefault(_identity(example), []).append((name, example))
    contradictory, crossing = [], []
    for copies in groups.values():
        if not _agree(copies):
            contradictory.append(copies)
        elif copies[0][0] != copies[-1][0]:
            crossing.append(copies)
    left_out = {
        id(example): MalformedRow(source=example.source, reason=reason)
        for example, reason in (
            *chain.from_iterable(map(_contradiction, contradictory)),
            *chain.from_iterable(map(_crossing, crossing)),
        )
    }
    _warn(task, contradictory, crossing)
    found = loaded[split]
    kept = tuple(example for example in found.examples if id(example) not in left_out)
    if not kept:
        first = left_out[id(found.examples[0])]
        raise TaskError(
            f"split {split!r} of task {task} is empty: all of its {len(found.examples)} questions "
            f"were left out, the first, {first.source}: {first.reason}"
        )
    return replace(found, examples=kept, malformed=(*found.malformed, *left_out.values()))


def warn_of_contradictions(examples: Sequence[Example], task: str) -> None:
    """Say how many questions have several answers, where all of them are used.

    Published data are used as they are, so that results can be compared.
    """
    groups: dict[object, list[_Copy]] = {}
    for example in examples:
        groups.setdefault(_identity(example), []).append((example.split, example))
    contradictory = [copies for copies in groups.values() if not _agree(copies)]
    if contradictory:
        _logger.warning(
            "task %s: %d questions have more than one answer, such as %s; they are used as they "
            "were published",
            task,
            len(contradictory),
            " and ".join(example.source for _, example in contradictory[0][:3]),
        )


def asked_identity(question: str, choices: Iterable[str]) -> Hashable:
    """What is the same for two questions that ask the same among the same choices."""
    return asked_key(question), frozenset(map(question_key, choices))


def _identity(example: Example) -> Hashable:
    return asked_identity(example.question, example.choices)


def _answer(example: Example) -> str:
    index = example.gold_index
    is_choice = index is not None and 0 <= index < len(example.choices)
    return example.choices[index] if is_choice and index is not None else example.gold


def _agree(copies: Sequence[_Copy]) -> bool:
    """Whether all copies have one answer; ``0.5`` and ``1/2`` are one."""
    answers = {question_key(_answer(example)) for _, example in copies}
    if len(answers) == 1:
        return True
    numbers = [only_number(answer) for answer in answers]
    return None not in numbers and len({number.value for number in numbers if number}) == 1


def _contradiction(copies: Sequence[_Copy]) -> Iterator[tuple[Example, str]]:
    first = copies[0][1]
    key = question_key(_answer(first))
    other = next(example for _, example in copies if question_key(_answer(example)) != key)
    for _, example in copies:
        beside = first if question_key(_answer(example)) != key else other
        yield (
            example,
            f"the question has more than one answer: {shown(_answer(example))} here, "
            f"{shown(_answer(beside))} in {beside.source}",
        )


def _crossing(copies: Sequence[_Copy]) -> Iterator[tuple[Example, str]]:
    kept_in, kept = copies[-1]
    for name, example in copies:
        if name != kept_in:
            yield (
                example,
                f"split {kept_in!r} asks the same question ({kept.source}), so {name!r} may not",
            )


def _warn(
    task: str, contradictory: Sequence[Sequence[_Copy]], crossing: Sequence[Sequence[_Copy]]
) -> None:
    if crossing:
        _logger.warning(
            "task %s: %d questions stand in more than one split; only their copies in the last of "
            "%s are used, such as %s",
            task,
            len(crossing),
            ", ".join(SPLITS),
            crossing[0][-1][1].source,
        )
    if contradictory:
        _logger.warning(
            "task %s: %d questions have more than one answer and are left out, such as %s",
            task,
            len(contradictory),
            " and ".join(example.source for _, example in contradictory[0][:3]),
        )
