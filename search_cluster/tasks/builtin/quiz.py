"""Multiple-choice examples from facts: seeded distractors, several wordings, splits by fact."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

from search_cluster.tasks.raw_examples import RawExample, Row, as_raw_example, collect_examples
from search_cluster.tasks.splits import split_of
from search_cluster.tasks.task import LoadedExamples

NUM_CHOICES = 4
BUILT_IN = "built-in"
"""The source of examples that the project generates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One true (question, answer) in several wordings, with wrong answers to draw from."""

    key: str
    """Decides the split; facts that follow from each other share it."""
    wordings: tuple[str, ...]
    """Questions that all ask for the fact."""
    answer: str
    """The right answer."""
    wrong_answers: tuple[tuple[str, ...], ...]
    """Texts to draw distractors from, one group for each drawing; the right answer in a group is
    passed over."""


def draw_choices(seed_text: str, answer: str, texts: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Four distinct choices and the index of the right one.

    All is decided by sha256(seed text, answer).

    Neither the hash seed nor the library's generators play a part, so that examples never change
    between versions.
    """
    digest = hashlib.sha256(f"{seed_text}\n{answer}".encode()).digest()
    wrong = [text for text in dict.fromkeys(texts) if text != answer]
    numbers = [int.from_bytes(digest[4 * i : 4 * i + 4], "big") for i in range(NUM_CHOICES)]
    drawn = [wrong.pop(number % len(wrong)) for number in numbers[1:]]
    gold_index = numbers[0] % NUM_CHOICES
    return (*drawn[:gold_index], answer, *drawn[gold_index:]), gold_index


def quiz_examples(facts: Iterable[Fact]) -> Iterator[RawExample]:
    """One raw example per fact, wording and group of wrong answers."""
    for fact in facts:
        for wording in fact.wordings:
            for number, texts in enumerate(fact.wrong_answers):
                choices, gold_index = draw_choices(f"{wording}\n{number}", fact.answer, texts)
                yield RawExample(
                    question=wording,
                    choices=choices,
                    gold=fact.answer,
                    gold_index=gold_index,
                    fact=fact.key,
                )


@dataclass(frozen=True, slots=True)
class GeneratedSource:
    """A `Source` of generated examples, split 70/15/15 by their facts.

    Data folders play no part in it.
    """

    keeps_apart: ClassVar[bool] = True
    """Equal questions have equal facts, so they are in one split."""
    make_raw_examples: Callable[[], Iterable[RawExample]]
    """Makes all examples; what it made is kept for the life of the process."""

    def __call__(self, task: str, split: str, data_dir: Path | None) -> LoadedExamples:
        """The examples of one split."""
        return _generated(self.make_raw_examples, task, split)


@cache
def _generated(
    make_raw_examples: Callable[[], Iterable[RawExample]], task: str, split: str
) -> LoadedExamples:
    return collect_examples(
        (Row(source=BUILT_IN, value=raw) for raw in make_raw_examples()),
        as_raw_example,
        task=task,
        split=split,
        belongs=lambda raw: split_of(raw.split_key) == split,
    )
