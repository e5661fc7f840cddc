"""The AI2 Reasoning Challenge: two subsets, each with its texts scored and with letters generated.

In ``arc_easy`` and ``arc_challenge`` the texts are scored; their ``_letter`` forms generate.

Clark et al., arXiv 1803.05457. Two record layouts are in circulation, and both are read: the
authors' ``{question: {stem, choices: [{text, label}]}, answerKey}`` and the hub's ``{question,
choices: {text: [], label: []}, answerKey}``. Labels are letters in most rows and digits in some; a
few rows have 3 or 5 choices. Prompts of the letter tasks always list letters from A on.
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
from search_cluster.tasks.grading.graders import LETTER_GRADER_VERSION, grade_letter
from search_cluster.tasks.perturbation.wordings import QUESTION_WORDINGS, Wording
from search_cluster.tasks.raw_examples import RawExample, RowError
from search_cluster.tasks.simple import SimpleTask, choice_task, generate_task
from search_cluster.tasks.template import LETTERS

MAX_LETTER_TOKENS = 10
_LETTER_PROMPT = "{question}\n{choices}\nAnswer with the letter of the right choice only."
_LETTER_PLAIN = "Question: {question}\n{choices}\nAnswer:"
_LETTER_WORDINGS = (
    Wording(
        chat=(
            "Question: {question}\nChoices:\n{choices}\nWhich letter is right? Give the letter "
            "only."
        ),
        plain="Q: {question}\n{choices}\nA:",
    ),
    Wording(
        chat="Choose the right answer and reply with its letter only.\n\n{question}\n{choices}",
        plain="{question}\n{choices}\nThe right letter is",
    ),
    Wording(
        chat="{question}\n\n{choices}\n\nReply with one letter.",
        plain="{question}\n\n{choices}\n\nAnswer:",
    ),
    Wording(
        chat=(
            "Multiple choice.\n{question}\n{choices}\nWhich one is it? Answer with a single letter."
        ),
        plain="Multiple choice.\n{question}\n{choices}\nRight answer:",
    ),
    Wording(
        chat=(
            "Here is a question: {question}\nPossible answers:\n{choices}\nName the letter of "
            "the right one."
        ),
        plain="Question: {question}\nPossible answers:\n{choices}\nThe answer is",
    ),
    Wording(
        chat="{question}\nPick one:\n{choices}\nYour answer is one letter.",
        plain="{question}\nPick one:\n{choices}\nAnswer:",
    ),
    Wording(
        chat="{question}\nOptions:\n{choices}\nThe letter of the correct option is:",
        plain="{question}\nOptions:\n{choices}\nThe correct option is",
    ),
    Wording(
        chat="Exam question: {question}\n{choices}\nAnswer with the letter of the correct choice.",
        plain="Exam question: {question}\n{choices}\nCorrect answer:",
    ),
    Wording(
        chat=(
            "Read the question and the choices, then give the letter of the right choice.\n"
            "{question}\n{choices}"
        ),
        plain="Problem: {question}\n{choices}\nSolution:",
    ),
)


def convert_arc(value: object) -> RawExample:
    """A raw example whose gold answer is the right choice's text.

    Raises:
        RowError: the row has neither layout, or its answer key is that of no choice.
    """
    row = as_mapping(value)
    question = get(row, "question")
    stem, texts, labels = (
        _authors_layout(question) if isinstance(question, Mapping) else _hub_layout(row)
    )
    choices = as_choices(texts)
    key = get_text(row, "answerKey")
    if labels.count(key) != 1:
        raise RowError(f"the answer key is {key!r}; the labels are {shown(labels)}")
    gold_index = labels.index(key)
    return RawExample(
        question=stem, choices=choices, gold=choices[gold_index], gold_index=gold_index
    )


def _authors_layout(question: Mapping[str, object]) -> tuple[str, list[object], list[str]]:
    choices = [
        as_mapping(choice, "a choice")
        for choice in as_sequence(get(question, "choices"), "'choices'")
    ]
    labels = [get_text(choice, "label") for choice in choices]
    return get_text(question, "stem"), [get(choice, "text") for choice in choices], labels


def _hub_layout(row: Mapping[str, object]) -> tuple[str, list[object], list[str]]:
    choices = as_mapping(get(row, "choices"), "'choices'")
    texts = as_sequence(get(choices, "text"), "'text'")
    labels = [as_text(label, "a label") for label in as_sequence(get(choices, "label"), "'label'")]
    if len(texts) != len(labels):
        raise RowError(f"{len(texts)} texts and {len(labels)} labels; each choice has one of both")
    return get_text(row, "question"), list(texts), labels


def convert_arc_letter(value: object) -> RawExample:
    """As `convert_arc`, with the right choice's letter (by position, from A) as the gold answer."""
    raw = convert_arc(value)
    assert raw.gold_index is not None
    return RawExample(
        question=raw.question,
        choices=raw.choices,
        gold=LETTERS[raw.gold_index],
        gold_index=raw.gold_index,
    )


def _source(subset: str, *, letter: bool) -> BenchmarkSource:
    def part(hub_split: str, file_part: str) -> Part:
        files = f"arc/{subset}-{file_part}.jsonl"
        return Part(
            repository="allenai/ai2_arc", configs=(subset,), hub_split=hub_split, files=files
        )

    return BenchmarkSource(
        parts={
            "train": part("train", "Train"),
            "validation": part("validation", "Dev"),
            "test": part("test", "Test"),
        },
        convert=convert_arc_letter if letter else convert_arc,
        layout="{id, question: {stem, choices: [{text, label}]}, answerKey}",
    )


def _text_task(name: str, subset: str) -> SimpleTask:
    return choice_task(
        name=name,
        description=f"{subset}: grade-school science, each choice's text is scored",
        chat="{question}",
        wordings=QUESTION_WORDINGS,
        source=_source(subset, letter=False),
    )


def _letter_task(name: str, subset: str) -> SimpleTask:
    return generate_task(
        name=name,
        description=f"{subset}: grade-school science, the letter is generated",
        chat=_LETTER_PROMPT,
        plain=_LETTER_PLAIN,
        wordings=_LETTER_WORDINGS,
        source=_source(subset, letter=True),
        grader=grade_letter,
        grader_version=LETTER_GRADER_VERSION,
        max_new_tokens=MAX_LETTER_TOKENS,
        stop_strings=("\n",),
    )


ARC_TASKS = (
    _text_task("arc_easy", "ARC-Easy"),
    _text_task("arc_challenge", "ARC-Challenge"),
    _letter_task("arc_easy_letter", "ARC-Easy"),
    _letter_task("arc_challenge_letter", "ARC-Challenge"),
)
"""The four tasks over the two subsets."""
