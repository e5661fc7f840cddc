"""English multiple choice of AGIEval, ``agieval``: each choice's text is scored.

The questions come from human examinations: Zhong et al., arXiv 2304.06364. Records of the authors'
files are ``{passage, question, options: ["(A)...", ...], label: "B"}``, with one file for each
examination. Rows of the hub are ``{query, choices: ["(A)...", ...], gold: [1]}``, whose query holds
passage, question and choices in one text. All of it is test. Labels in front of options are read
and dropped; some options carry them as ``A ...`` or ``A? ...``.
"""

import re
from collections.abc import Mapping, Sequence

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
from search_cluster.tasks.template import LETTERS

_OPTION = re.compile(r"(?:\(([A-E])\)|([A-E])(?:[?.)]\s*|\s+))\s*(.+)", re.DOTALL)
_QUERY = re.compile(r"(?:(.*?)\s*)\bQ:\s*(.+?)\s*Answer Choices:.*", re.DOTALL)
_EXAMINATIONS = ("aqua-rat", "logiqa-en", "lsat-ar", "sat-en", "sat-math")


def convert_agieval(value: object) -> RawExample:
    """A raw example from a record of the authors' files or from a row of the hub.

    Raises:
        RowError: the row has neither layout, its options are not labelled A, B, C, ... in turn, or
            none of them is right.
    """
    row = as_mapping(value)
    passage, question, options, gold_index = (
        _hub_layout(row) if "query" in row else _authors_layout(row)
    )
    choices = _texts(options)
    if not 0 <= gold_index < len(choices):
        raise RowError(f"the right answer is number {gold_index}; there are {len(choices)} options")
    text = f"{passage}\n{question}" if passage else question
    return RawExample(
        question=text, choices=choices, gold=choices[gold_index], gold_index=gold_index
    )


def _authors_layout(row: Mapping[str, object]) -> tuple[str, str, Sequence[object], int]:
    passage = row.get("passage") or ""
    if not isinstance(passage, str):
        raise RowError(f"'passage' is {shown(passage)}; it has to be a text, or empty")
    label = get(row, "label")
    if not isinstance(label, str) or len(label) != 1 or label not in LETTERS:
        raise RowError(f"'label' is {shown(label)}; it is the letter of the right option")
    question = get_text(row, "question")
    checked_passage = as_text(passage, "'passage'") if passage.strip() else ""
    return (
        checked_passage,
        question,
        as_sequence(get(row, "options"), "'options'"),
        LETTERS.index(label),
    )


def _hub_layout(row: Mapping[str, object]) -> tuple[str, str, Sequence[object], int]:
    query = get_text(row, "query")
    found = _QUERY.fullmatch(query)
    if found is None:
        raise RowError(f"'query' is {shown(query)}; it holds 'Q: ' and 'Answer Choices:'")
    gold = as_sequence(get(row, "gold"), "'gold'")
    if len(gold) != 1 or type(gold[0]) is not int:
        raise RowError(f"'gold' is {shown(gold)}; it holds the place of the one right choice")
    return found[1], found[2], as_sequence(get(row, "choices"), "'choices'"), gold[0]


def _texts(options: Sequence[object]) -> tuple[str, ...]:
    found = [_OPTION.fullmatch(as_text(option, "an option")) for option in options]
    labels = "".join((match[1] or match[2]) if match else "?" for match in found)
    if labels != LETTERS[: len(labels)]:
        raise RowError(
            f"the options are labelled {shown(labels)}; the labels are A, B, C, ... in turn"
        )
    return as_choices([match[3] for match in found if match])


AGIEVAL = choice_task(
    name="agieval",
    description=(
        "AGIEval: English multiple choice of human examinations, each choice's text is scored"
    ),
    chat="{question}",
    wordings=QUESTION_WORDINGS,
    source=BenchmarkSource(
        parts={
            "test": Part(
                repository="dmayhem93/agieval-{config}",
                configs=_EXAMINATIONS,
                hub_split="test",
                files="agieval/*.jsonl",
            )
        },
        convert=convert_agieval,
        layout='{passage, question, options: ["(A)...", ...], label}',
    ),
)
