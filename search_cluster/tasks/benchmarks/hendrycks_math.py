r"""Competition mathematics, ``math``: questions with difficulties 1-5, answered in ``\boxed{}``.

These are the questions behind DART-Math.

Hendrycks et al., arXiv 2103.03874; Tong et al. (DART-Math), arXiv 2407.13690. Records are
``{problem, level, solution}``; the gold answer is the last ``\boxed{}`` of the solution, ``level``
is the difficulty. Rows with ``Level ?`` are kept without a difficulty. Of several responses to one
question the first is kept. The source has no validation part: 15 % of its training part, by hash of
the question, serve as one.
"""

import re

from search_cluster.tasks.benchmarks.source import BenchmarkSource, Part
from search_cluster.tasks.fields import as_mapping, get, get_text, shown
from search_cluster.tasks.grading.boxed import last_boxed
from search_cluster.tasks.grading.math_answers import MATH_GRADER_VERSION, grade_math
from search_cluster.tasks.perturbation.wordings import Wording
from search_cluster.tasks.raw_examples import RawExample, RowError
from search_cluster.tasks.simple import generate_task
from search_cluster.tasks.splits import TRAIN_VALIDATION

MAX_ANSWER_TOKENS = 48
_WORDINGS = (
    Wording(
        chat="{question}\nAnswer with \\boxed{{}} around the final result and nothing else.",
        plain="{question}\nFinal answer in \\boxed{{}}:",
    ),
    Wording(
        chat="Problem: {question}\nPut the final answer into \\boxed{{}}. No explanation.",
        plain="Problem: {question}\nAnswer in \\boxed{{}}:",
    ),
    Wording(
        chat="Solve this and write only \\boxed{{answer}}.\n{question}",
        plain="Solve this: {question}\nResult in \\boxed{{}}:",
    ),
    Wording(
        chat="{question}\nReply with the boxed final answer alone, as \\boxed{{}}.",
        plain="Q: {question}\nA, in \\boxed{{}}:",
    ),
    Wording(
        chat=(
            "What is the answer to this problem? Write it in \\boxed{{}} without a derivation.\n"
            "{question}"
        ),
        plain="Question: {question}\nThe answer, in \\boxed{{}}, is",
    ),
    Wording(
        chat="Competition problem: {question}\nState the result in \\boxed{{}} only.",
        plain="Competition problem: {question}\nResult in \\boxed{{}}:",
    ),
    Wording(
        chat="Question: {question}\nFinal answer only, in \\boxed{{}}:",
        plain="Question: {question}\nFinal answer only, in \\boxed{{}}:",
    ),
    Wording(
        chat="Without showing steps, give the answer in \\boxed{{}} to: {question}",
        plain="{question}\nSolution in \\boxed{{}}:",
    ),
    Wording(
        chat="Find the answer and box it with \\boxed{{}}; write nothing besides.\n{question}",
        plain="Exercise: {question}\nBoxed answer in \\boxed{{}}:",
    ),
)
_SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
_LEVEL = re.compile(r"(?:Level )?([1-5?])", re.ASCII)


def convert_math(value: object) -> RawExample:
    r"""A raw example whose gold answer is what the solution boxes.

    Raises:
        RowError: the row has another layout, no complete ``\boxed{}``, or an unknown level.
    """
    row = as_mapping(value)
    question = get_text(row, "problem")
    solution = get_text(row, "solution")
    gold = last_boxed(solution)
    if gold is None:
        raise RowError(f"'solution' is {shown(solution)}; it has to hold its answer in \\boxed{{}}")
    level = _LEVEL.fullmatch(str(get(row, "level")))
    if level is None:
        raise RowError(
            f"'level' is {shown(row['level'])}; it is 'Level 1' to 'Level 5', or 'Level ?'"
        )
    return RawExample(question=question, gold=gold, difficulty=level.group(1).removeprefix("?"))


def _part(name: str, shares: bool) -> Part:
    return Part(
        repository="EleutherAI/hendrycks_math",
        configs=_SUBJECTS,
        hub_split=name,
        files=f"math/{name}.jsonl",
        shares=TRAIN_VALIDATION if shares else None,
    )


MATH = generate_task(
    name="math",
    description=(
        "MATH (DART-Math's questions, difficulty 1-5): the boxed answer is generated without "
        "reasoning"
    ),
    chat="{question}\nGive only the final answer in \\boxed{{}}, without reasoning.",
    plain="Problem: {question}\nFinal answer in \\boxed{{}}:",
    wordings=_WORDINGS,
    source=BenchmarkSource(
        parts={
            "train": _part("train", True),
            "validation": _part("train", True),
            "test": _part("test", False),
        },
        convert=convert_math,
        layout='{problem, level: "Level k", solution}',
        unique_questions=True,
    ),
    grader=grade_math,
    grader_version=MATH_GRADER_VERSION,
    max_new_tokens=MAX_ANSWER_TOKENS,
)
