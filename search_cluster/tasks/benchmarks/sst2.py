"""Sentiment of film reviews, ``sst2``: both words are scored as answers.

Socher et al., EMNLP 2013, in GLUE's form (arXiv 1804.07461). Local files are TSV with a header
(sentence, label); rows of the hub are ``{sentence, label: 0 or 1}``. GLUE's labelled development
part is test here, as in the local files; train and validation are cut from the training part, 85/15
by hash of the sentence.
"""

from search_cluster.tasks.benchmarks.source import BenchmarkSource, Part
from search_cluster.tasks.fields import as_mapping, get, get_text, shown
from search_cluster.tasks.perturbation.wordings import Wording
from search_cluster.tasks.raw_examples import RawExample, RowError
from search_cluster.tasks.simple import choice_task
from search_cluster.tasks.splits import TRAIN_VALIDATION

WORDS = ("negative", "positive")
"""The word of each label."""
_WORDINGS = (
    Wording(
        chat="Is this review positive or negative? {question}", plain="{question}\nThis review is"
    ),
    Wording(
        chat="Film review: {question}\nIs it negative or positive?",
        plain="Film review: {question}\nIt is",
    ),
    Wording(
        chat="{question}\nName the sentiment of this sentence.",
        plain="{question}\nThe sentiment is",
    ),
    Wording(chat="Sentence: {question}\nSentiment:", plain="Sentence: {question}\nSentiment:"),
    Wording(
        chat="Say whether this is negative or positive.\n{question}",
        plain="{question}\nOverall, this is",
    ),
    Wording(
        chat="What does the writer feel? {question}",
        plain="Review: {question}\nThe writer's opinion is",
    ),
)


def convert_sst2(value: object) -> RawExample:
    """A raw example with the two words to choose from.

    Raises:
        RowError: the row has another layout, or its label is neither 0 nor 1.
    """
    row = as_mapping(value)
    label = get(row, "label")
    if isinstance(label, bool) or str(label).strip() not in ("0", "1"):
        raise RowError(f"'label' is {shown(label)}; it is 0 (negative) or 1 (positive)")
    gold_index = int(str(label))
    return RawExample(
        question=get_text(row, "sentence"),
        choices=WORDS,
        gold=WORDS[gold_index],
        gold_index=gold_index,
    )


_TRAIN = Part(
    repository="stanfordnlp/sst2",
    configs=("default",),
    hub_split="train",
    files="sst2/train_8k.tsv",
    shares=TRAIN_VALIDATION,
)
_TEST = Part(
    repository="stanfordnlp/sst2",
    configs=("default",),
    hub_split="validation",
    files="sst2/test.tsv",
)

SST2 = choice_task(
    name="sst2",
    description="SST-2: is a review negative or positive, both words are scored",
    chat="Is the sentiment of this review negative or positive?\n{question}",
    plain="Review: {question}\nSentiment (negative or positive):",
    wordings=_WORDINGS,
    source=BenchmarkSource(
        parts={"train": _TRAIN, "validation": _TRAIN, "test": _TEST},
        convert=convert_sst2,
        layout="sentence<TAB>label, under that header",
        unique_questions=True,
    ),
)
