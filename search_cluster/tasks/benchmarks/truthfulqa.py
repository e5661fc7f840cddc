"""TruthfulQA, ``truthfulqa_mc1``: one true choice among popular errors.

Each choice's text is scored.

Lin et al., arXiv 2109.07958. The source has one part; it is split 70/15/15 by hash of the question.
It always lists the true choice first, so the choices are put into an order that a hash of question
and text decides.
"""

import hashlib
from collections.abc import Mapping

from search_cluster.tasks.benchmarks.source import BenchmarkSource, Part
from search_cluster.tasks.fields import as_choices, as_mapping, as_sequence, get, get_text, shown
from search_cluster.tasks.perturbation.wordings import QUESTION_WORDINGS
from search_cluster.tasks.raw_examples import RawExample, RowError
from search_cluster.tasks.simple import choice_task
from search_cluster.tasks.splits import THREE_WAY


def convert_truthfulqa(value: object) -> RawExample:
    """A raw example from a row of the authors' file or of the hub.

    ``mc1_targets`` is ``{text: 0 or 1}`` in the file, ``{choices: [], labels: []}`` on the hub.

    Raises:
        RowError: the row has neither layout, or not exactly one true choice.
    """
    row = as_mapping(value)
    question = get_text(row, "question")
    texts, labels = _targets(as_mapping(get(row, "mc1_targets"), "'mc1_targets'"))
    choices = as_choices(texts)
    if (
        any(type(label) is not int or label not in (0, 1) for label in labels)
        or labels.count(1) != 1
    ):
        raise RowError(f"the labels are {shown(labels)}; exactly one is 1, the others are 0")
    gold = choices[labels.index(1)]
    ordered = tuple(
        sorted(choices, key=lambda text: hashlib.sha256(f"{question}\n{text}".encode()).digest())
    )
    return RawExample(question=question, choices=ordered, gold=gold, gold_index=ordered.index(gold))


def _targets(targets: Mapping[str, object]) -> tuple[list[object], list[object]]:
    if set(targets) != {"choices", "labels"}:
        return list(targets), list(targets.values())
    texts = as_sequence(targets["choices"], "'choices'")
    labels = as_sequence(targets["labels"], "'labels'")
    if len(texts) != len(labels):
        raise RowError(f"{len(texts)} choices and {len(labels)} labels; each choice has one label")
    return list(texts), list(labels)


_ALL = Part(
    repository="truthfulqa/truthful_qa",
    configs=("multiple_choice",),
    hub_split="validation",
    files="truthfulqa/mc_task.json",
    shares=THREE_WAY,
)

TRUTHFULQA_MC1 = choice_task(
    name="truthfulqa_mc1",
    description=(
        "TruthfulQA MC1: one true answer among popular errors, each choice's text is scored"
    ),
    chat="{question}",
    wordings=QUESTION_WORDINGS,
    source=BenchmarkSource(
        parts={"train": _ALL, "validation": _ALL, "test": _ALL},
        convert=convert_truthfulqa,
        layout="{question, mc1_targets: {text: 0 or 1}}",
    ),
)
