"""Massive multitask language understanding, ``mmlu``: 57 subjects, each choice's text is scored.

Hendrycks et al., arXiv 2009.03300. Local files are CSV without a header (question, A, B, C, D,
letter), one file for each subject. The hub and local files are mapped alike: ``dev`` is train;
``val`` is cut in halves, by hash of the question, into validation and test. The authors' test part
is not used, because the local layout does not have it and a question must not change its split with
the place it was read from.
"""

from collections.abc import Mapping

from search_cluster.tasks.benchmarks.source import BenchmarkSource, Part
from search_cluster.tasks.fields import (
    as_choices,
    as_mapping,
    as_sequence,
    as_text,
    get,
    get_text,
    shown,
)
from search_cluster.tasks.perturbation.wordings import QUESTION_WORDINGS
from search_cluster.tasks.raw_examples import RawExample, RowError
from search_cluster.tasks.simple import choice_task
from search_cluster.tasks.splits import VALIDATION_TEST
from search_cluster.tasks.template import LETTERS

_NUM_CHOICES = 4
_NUM_COLUMNS = 6


def convert_mmlu(value: object) -> RawExample:
    """A raw example from a CSV record or from a row of the hub.

    Rows of the hub are ``{question, choices, answer: 0..3}``.

    Raises:
        RowError: the row has neither layout, or its answer is none of the four.
    """
    question, texts, gold_index = (
        _hub_layout(value) if isinstance(value, Mapping) else _csv_layout(value)
    )
    choices = as_choices(texts)
    return RawExample(
        question=question, choices=choices, gold=choices[gold_index], gold_index=gold_index
    )


def _csv_layout(value: object) -> tuple[str, list[object], int]:
    columns = as_sequence(value, "the record")
    if len(columns) != _NUM_COLUMNS:
        raise RowError(
            f"{len(columns)} columns; a record has {_NUM_COLUMNS}: question, A, B, C, D, letter"
        )
    letter = as_text(columns[-1], "the letter")
    if letter not in LETTERS[:_NUM_CHOICES]:
        raise RowError(f"the answer is {shown(letter)}; it is one of A, B, C, D")
    return as_text(columns[0], "the question"), list(columns[1:-1]), LETTERS.index(letter)


def _hub_layout(value: object) -> tuple[str, list[object], int]:
    row = as_mapping(value)
    texts = as_sequence(get(row, "choices"), "'choices'")
    answer = get(row, "answer")
    if len(texts) != _NUM_CHOICES:
        raise RowError(f"{len(texts)} choices; a row has {_NUM_CHOICES}")
    if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < _NUM_CHOICES:
        raise RowError(f"'answer' is {shown(answer)}; it is a number from 0 to 3")
    return get_text(row, "question"), list(texts), answer


_DEV = Part(repository="cais/mmlu", configs=("all",), hub_split="dev", files="mmlu/dev/*.csv")
_VAL = Part(
    repository="cais/mmlu",
    configs=("all",),
    hub_split="validation",
    files="mmlu/val/*.csv",
    shares=VALIDATION_TEST,
)

MMLU = choice_task(
    name="mmlu",
    description="MMLU: 57 school and college subjects, each choice's text is scored",
    chat="{question}",
    wordings=QUESTION_WORDINGS,
    source=BenchmarkSource(
        parts={"train": _DEV, "validation": _VAL, "test": _VAL},
        convert=convert_mmlu,
        layout="question,A,B,C,D,letter",
    ),
)
