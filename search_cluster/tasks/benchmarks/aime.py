"""The competition AIME of 2024, ``aime24``: the integer is generated without reasoning.

The American Invitational Mathematics Examination has thirty questions, all of them test. Records
are ``{problem, answer}`` with an answer from 0 to 999, which may be written as ``"025"``.
"""

from search_cluster.tasks.benchmarks.source import BenchmarkSource, Part
from search_cluster.tasks.fields import as_mapping, get, get_text, shown
from search_cluster.tasks.grading.graders import NUMBER_GRADER_VERSION, grade_number
from search_cluster.tasks.raw_examples import RawExample, RowError
from search_cluster.tasks.simple import generate_task

MAX_NUMBER_TOKENS = 24
LARGEST = 999
"""The largest answer that the competition allows."""


def convert_aime(value: object) -> RawExample:
    """A raw example whose gold answer has no leading zeros.

    Raises:
        RowError: the row has another layout, or its answer is no integer from 0 to 999.
    """
    row = as_mapping(value)
    answer = get(row, "answer")
    text = str(answer).strip()
    if isinstance(answer, bool) or not (text.isascii() and text.isdigit()) or len(text) > 3:
        raise RowError(f"'answer' is {shown(answer)}; it is an integer from 0 to {LARGEST}")
    return RawExample(question=get_text(row, "problem"), gold=str(int(text)))


AIME24 = generate_task(
    name="aime24",
    description="AIME 2024: competition problems, the integer is generated without reasoning",
    chat="{question}\nAnswer with the final integer only.",
    source=BenchmarkSource(
        parts={
            "test": Part(
                repository="HuggingFaceH4/aime_2024",
                configs=("default",),
                hub_split="train",
                files="aime24/test.jsonl",
            )
        },
        convert=convert_aime,
        layout="{problem, answer}",
        unique_questions=True,
    ),
    grader=grade_number,
    grader_version=NUMBER_GRADER_VERSION,
    max_new_tokens=MAX_NUMBER_TOKENS,
    stop_strings=("\n",),
)
