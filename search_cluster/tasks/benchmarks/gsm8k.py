r"""Grade-school mathematics, ``gsm8k``: the number is generated without reasoning.

Numbers are compared by their value.

Cobbe et al., arXiv 2110.14168. Records are ``{question, answer}``; the number follows ``####``. The
source has no validation part: 15 % of its training part, by hash of the question, serve as one.
"""

from search_cluster.tasks.benchmarks.source import BenchmarkSource, Part
from search_cluster.tasks.fields import as_mapping, get_text, shown
from search_cluster.tasks.grading.graders import (
    GOLD_MARK,
    NUMBER_GRADER_VERSION,
    grade_number,
)
from search_cluster.tasks.grading.numbers import number_text, only_number
from search_cluster.tasks.perturbation.wordings import Wording
from search_cluster.tasks.raw_examples import RawExample, RowError
from search_cluster.tasks.simple import generate_task
from search_cluster.tasks.splits import TRAIN_VALIDATION

MAX_NUMBER_TOKENS = 24
_WORDINGS = (
    Wording(chat="{question}\nGive only the number that answers this.", plain="Q: {question}\nA:"),
    Wording(
        chat="Problem: {question}\nReply with the number alone.",
        plain="Problem: {question}\nAnswer:",
    ),
    Wording(
        chat="Solve this and answer with one number.\n{question}",
        plain="Solve this.\n{question}\nResult:",
    ),
    Wording(
        chat="{question}\nThe answer, as a number only:",
        plain="{question}\nThe answer, as a number:",
    ),
    Wording(
        chat="What is the result? Give a single number.\n{question}",
        plain="{question}\nThe answer is",
    ),
    Wording(
        chat="{question}\nNo explanation, just the final number.", plain="{question}\nFinal number:"
    ),
    Wording(
        chat="Question: {question}\nAnswer (number only):",
        plain="Question: {question}\nAnswer (number only):",
    ),
    Wording(
        chat="Here is a word problem: {question}\nState the final number only.",
        plain="{question}\nSolution:",
    ),
    Wording(
        chat="Read the problem and give its numeric answer only.\n{question}",
        plain="{question}\nAnswer:",
    ),
)


def convert_gsm8k(value: object) -> RawExample:
    """A raw example whose gold answer is the number after the last ``####``.

    Thousands separators are dropped.

    Raises:
        RowError: the row has another layout, or no number follows the mark.
    """
    row = as_mapping(value)
    answer = get_text(row, "answer")
    _, mark, final = answer.rpartition(GOLD_MARK)
    number = only_number(final)
    if not mark or number is None or number.value is None:
        raise RowError(f"'answer' is {shown(answer)}; it has to end in '#### ' and a number")
    return RawExample(question=get_text(row, "question"), gold=number_text(number.value))


_TRAIN = Part(
    repository="openai/gsm8k",
    configs=("main",),
    hub_split="train",
    files="gsm8k/train.jsonl",
    shares=TRAIN_VALIDATION,
)
_TEST = Part(
    repository="openai/gsm8k", configs=("main",), hub_split="test", files="gsm8k/test.jsonl"
)

GSM8K = generate_task(
    name="gsm8k",
    description="GSM8K: grade-school word problems, the number is generated without reasoning",
    chat="{question}\nAnswer with the final number only.",
    wordings=_WORDINGS,
    source=BenchmarkSource(
        parts={"train": _TRAIN, "validation": _TRAIN, "test": _TEST},
        convert=convert_gsm8k,
        layout="{question, answer}",
        unique_questions=True,
    ),
    grader=grade_number,
    grader_version=NUMBER_GRADER_VERSION,
    max_new_tokens=MAX_NUMBER_TOKENS,
    stop_strings=("\n",),
)
