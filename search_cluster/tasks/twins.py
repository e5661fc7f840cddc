"""Equal questions in several splits, or with several answers.

A question that teaches and is asked again in a test makes a router look better than it is, and one
with two answers makes right answers wrong. Both are taken out by what they ask, not by how they are
typed.
"""

import logging
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from search_cluster.errors import TaskError
from search_cluster.tasks.example import Example
from search_cluster.tasks.fields import shown
from search_cluster.tasks.grading.numbers import only_number
from search_cluster.tasks.splits import normalize_text
from search_cluster.tasks.task import SPLITS, LoadedExamples, MalformedRow

_logger = logging.getLogger(__name__)
_KEPT = ("<super>", "<sub>", "<fraction>")
"""Unicode's compatible forms that mean something else: ``2²`` is not 22."""


def question_key(text: str) -> str:
    """A text that is the same however a question is typed: in width, accents, case, white space."""
    if not text.isascii():
        text = "".join(
            character
            if unicodedata.decomposition(character).startswith(_KEPT)
            else unicodedata.normalize("NFKC", character)
            for character in unicodedata.normalize("NFC", text)
        )
        text = unicodedata.normalize("NFC", text)
    return normalize_text(text)


def keep_apart(loaded: Mapping[str, LoadedExamples], split: str, task: str) -> LoadedExamples:
    """One of the splits, without questions that others ask again or that have several answers.

    Two questions are one if their texts are, and the texts of their choices in any order. Of a
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
    groups: dict[object, list[Example]] = {}
    for name in SPLITS:
        for example in loaded[name].examples if name in loaded else ():
            groups.setdefault(_identity(example), []).append(example)
    repeated = [group for group in groups.values() if len(group) > 1]
    contradictory = [group for group in repeated if not _agree(group)]
    crossing = [
        group for group in repeated if _agree(group) and len({item.split for item in group}) > 1
    ]
    left_out = {
        id(example): MalformedRow(source=example.source, reason=reason)
        for reasons in (map(_contradiction, contradictory), map(_crossing, crossing))
        for pairs in reasons
        for example, reason in pairs
    }
    _warn(task, contradictory, crossing)
    found = loaded[split]
    kept = tuple(example for example in found.examples if id(example) not in left_out)
    if not kept:
        first = next(left_out[id(example)] for example in found.examples)
        raise TaskError(
            f"split {split!r} of task {task} is empty: all of its {len(found.examples)} questions "
            f"were left out, the first, {first.source}: {first.reason}"
        )
    return replace(found, examples=kept, malformed=(*found.malformed, *left_out.values()))


def _identity(example: Example) -> object:
    return question_key(example.question), frozenset(map(question_key, example.choices))


def _answer(example: Example) -> str:
    return example.gold if example.gold_index is None else example.choices[example.gold_index]


def _agree(group: Sequence[Example]) -> bool:
    """Whether all copies have one answer; ``0.5`` and ``1/2`` are one."""
    answers = {question_key(_answer(example)) for example in group}
    if len(answers) == 1:
        return True
    numbers = [only_number(answer) for answer in answers]
    return None not in numbers and len({number.value for number in numbers if number}) == 1


def _contradiction(group: Sequence[Example]) -> Iterable[tuple[Example, str]]:
    first = group[0]
    other = next(
        item for item in group if question_key(_answer(item)) != question_key(_answer(first))
    )
    for example in group:
        beside = other if example is first else first
        yield (
            example,
            f"the question has more than one answer: {shown(_answer(example))} here, "
            f"{shown(_answer(beside))} in {beside.source}",
        )


def _crossing(group: Sequence[Example]) -> Iterable[tuple[Example, str]]:
    last = max(group, key=lambda example: SPLITS.index(example.split))
    for example in group:
        if example.split != last.split:
            yield (
                example,
                f"split {last.split!r} asks the same question ({last.source}), so it can't be in "
                f"{example.split!r}",
            )


def _warn(
    task: str, contradictory: Sequence[Sequence[Example]], crossing: Sequence[Sequence[Example]]
) -> None:
    if crossing:
        _logger.warning(
            "task %s: %d questions stand in more than one split; only their copies in the last of "
            "%s are used, such as %s",
            task,
            len(crossing),
            ", ".join(SPLITS),
            max(crossing[0], key=lambda example: SPLITS.index(example.split)).source,
        )
    if contradictory:
        _logger.warning(
            "task %s: %d questions have more than one answer and are left out, such as %s",
            task,
            len(contradictory),
            " and ".join(example.source for example in contradictory[0][:3]),
        )
