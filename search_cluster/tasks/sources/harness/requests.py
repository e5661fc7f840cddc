"""The questions of a harness task, asked with the harness' own words.

Contexts and continuations come out of the harness' own functions, so they are its own byte for
byte. Of an example, ``question`` is all that stands before the answer: description, shown
examples, the question itself and the delimiter. Where a task words a context for each choice
(winogrande), it is what the contexts have in common, and the rest belongs to the choices.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search_cluster.errors import SearchClusterError, TaskError, UnreadableDataError, in_one_line
from search_cluster.tasks.example import Example
from search_cluster.tasks.fields import shown
from search_cluster.tasks.raw_examples import RowError
from search_cluster.tasks.sources.harness.find import harness_folder
from search_cluster.tasks.sources.harness.grading import gold_text
from search_cluster.tasks.splits import SplitPart, split_of
from search_cluster.tasks.task import SPLITS, AnswerKind, LoadedExamples, MalformedRow
from search_cluster.tasks.twins import asked_identity

FEWSHOT_SEED = 1234
"""The seed with which the harness draws the examples that it shows."""
PARTS = ("training", "validation", "test")
"""The harness' names of splits, in the order of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessQuestion:
    """A question of a part: what is asked, and what tells it from others."""

    own: str
    """The question's own text, without what is shown before it."""
    example: Example
    """Its split is not known yet."""


@dataclass(slots=True)
class _Part:
    questions: list[HarnessQuestion] = field(default_factory=list)
    malformed: list[MalformedRow] = field(default_factory=list)


def read_splits(
    file: Path,
    name: str,
    *,
    task_name: str,
    kind: AnswerKind,
    num_fewshot: int,
    cut: Mapping[str, SplitPart],
) -> dict[str, LoadedExamples]:
    """All questions of a task, by our splits.

    What test asks is dropped from validation, and what either asks is dropped from train.

    Args:
        file: the task's file.
        name: the task's name in it.
        task_name: what we call the task.
        kind: the kind of its answers.
        num_fewshot: how many examples are shown before a question.
        cut: where each split is taken from.

    Raises:
        TaskError: the harness can't load the task or word its questions.
        UnreadableDataError: its data can't be loaded.
    """
    task = _harness_task(file, name)
    task.set_config("num_fewshot", num_fewshot)
    parts = {
        part: _read_part(task, part, task_name, kind, num_fewshot)
        for part in dict.fromkeys(item.part for item in cut.values())
    }
    loaded: dict[str, LoadedExamples] = {}
    asked: set[object] = set()
    for split in reversed(SPLITS):
        loaded[split] = _split(parts[cut[split].part], split, cut[split], asked)
        chosen = {example.example_id for example in loaded[split].examples}
        asked |= {
            asked_identity(item.own, item.example.choices)
            for item in parts[cut[split].part].questions
            if item.example.example_id in chosen
        }
    return loaded


def _split(part: _Part, split: str, where: SplitPart, asked_later: set[object]) -> LoadedExamples:
    examples: dict[str, Example] = {}
    num_members = 0
    for item in part.questions:
        if where.shares is not None and split_of(item.own, where.shares) != split:
            continue
        if asked_identity(item.own, item.example.choices) in asked_later:
            continue
        num_members += 1
        found = item.example
        examples.setdefault(
            found.example_id,
            Example(
                task=found.task,
                question=found.question,
                choices=found.choices,
                gold=found.gold,
                gold_index=found.gold_index,
                split=split,
                source=found.source,
            ),
        )
    return LoadedExamples(
        examples=tuple(examples.values()),
        malformed=tuple(part.malformed),
        num_duplicates=num_members - len(examples),
    )


@contextmanager
def harness_errors(name: str, what: str, kind: type[TaskError] = TaskError) -> Iterator[None]:
    """Turn whatever the harness raises into one line.

    Raises:
        TaskError: of this kind, for what is no error of ours.
    """
    try:
        yield
    except SearchClusterError:
        raise
    except Exception as error:  # it has no errors of its own
        raise kind(
            f"the harness can't {what} of its task {name} ({type(error).__name__}: "
            f"{in_one_line(error)}); correct the task's file or its data"
        ) from error


def _harness_task(file: Path, name: str) -> Any:
    harness_folder()  # says how to install it
    from lm_eval.tasks import TaskManager

    from search_cluster.tasks.sources.hub import reachable_hub

    with harness_errors(name, "read the file"):
        manager = TaskManager(include_path=str(file.absolute().parent), include_defaults=False)
    with reachable_hub(), harness_errors(name, "load the data", UnreadableDataError):
        return manager.load([name])["tasks"][name]


def _read_part(task: Any, part: str, task_name: str, kind: AnswerKind, num_fewshot: int) -> _Part:
    place = task.config[f"{part}_split"]
    with harness_errors(task.config.task, f"read the split {place!r}"):
        docs = list(getattr(task, f"{part}_docs")())
    judged = "test" if task.has_test_docs() else "validation"
    shown_examples = task.sampler
    if part != judged:  # the harness never asks these; a question must not show its own answer
        task.sampler = _WithoutAsked(shown_examples)
    task.set_fewshot_seed(FEWSHOT_SEED)
    read = _Part()
    try:
        for number, doc in enumerate(docs):
            source = f"{task.config.dataset_path}/{place}:{number}"
            if part != judged:
                task.sampler.asked = doc
            with harness_errors(task.config.task, f"word question {source}"):
                context = task.fewshot_context(
                    doc=doc, num_fewshot=num_fewshot, gen_prefix=task.doc_to_prefix(doc)
                )
            try:
                with _as_row_error():
                    read.questions.append(_question(task, doc, context, task_name, kind, source))
            except RowError as error:
                read.malformed.append(MalformedRow(source=source, reason=str(error)))
    finally:
        task.sampler = shown_examples
    return read


class _WithoutAsked:
    """Draws shown examples as another sampler does, but never the question that is asked."""

    def __init__(self, sampler: Any) -> None:
        self._sampler = sampler
        self.asked: Any = None

    def sample(self, n: int, eval_doc: Any = None) -> Any:
        asked = self.asked if self.asked in self._sampler.df else eval_doc
        return self._sampler.sample(n=n, eval_doc=asked)

    def set_rnd(self, seed: int) -> None:
        self._sampler.set_rnd(seed)


@contextmanager
def _as_row_error() -> Iterator[None]:
    try:
        yield
    except (SearchClusterError, RowError):
        raise
    except Exception as error:  # templates and functions of a task may raise anything
        raise RowError(f"{type(error).__name__}: {in_one_line(error)}") from error


def _question(
    task: Any, doc: Any, context: str | Sequence[str], name: str, kind: AnswerKind, source: str
) -> HarnessQuestion:
    requests = task.construct_requests(doc=doc, ctx=context, metadata=(name, 0, 1))
    text = task.doc_to_text(doc)
    if kind is AnswerKind.GENERATE:
        if not isinstance(context, str):
            raise RowError("the prompt is no text")
        gold = gold_text(_answers(task, doc))
        return HarnessQuestion(
            own=str(text), example=_example(name, requests.arguments[0], (), gold, None, source)
        )
    choices = list(task.doc_to_choice(doc))
    told = [request.arguments for request in requests[: len(choices)]]
    if task.multiple_input:
        question = _common_words([before + after for before, after in told])
        texts = [(before + after)[len(question) :] for before, after in told]
        own, right = "\n".join(choices), text
    else:
        question = told[0][0] + str(task.config.target_delimiter)
        texts, own, right = choices, str(text), task.doc_to_target(doc)
    index = _right_index(right, choices)
    _require_choices(question, texts)
    return HarnessQuestion(
        own=own, example=_example(name, question, tuple(texts), texts[index], index, source)
    )


def _example(
    task: str,
    question: str,
    choices: tuple[str, ...],
    gold: str,
    gold_index: int | None,
    source: str,
) -> Example:
    if not question.strip():
        raise RowError("the prompt is empty: there is nothing before the answer to route on")
    return Example(
        task=task,
        question=question,
        choices=choices,
        gold=gold,
        gold_index=gold_index,
        split="",
        source=source,
    )


def _common_words(texts: Sequence[str]) -> str:
    """What all texts begin with, up to the last white space in it."""
    length = 0
    for number, signs in enumerate(zip(*texts, strict=False), start=1):
        if len(set(signs)) > 1:
            break
        if signs[0].isspace():
            length = number
    return texts[0][:length]


def _require_choices(question: str, texts: Sequence[str]) -> None:
    if len(texts) < 2:
        raise RowError(f"{len(texts)} choices; a question has at least 2")
    stripped = [text.strip() for text in texts]
    if not all(stripped):
        raise RowError(f"one of the choices {shown(texts)} is empty")
    if len(set(stripped)) < len(stripped):
        raise RowError(f"two of the choices {shown(texts)} are the same text")


def _right_index(right: object, choices: Sequence[str]) -> int:
    """The index of the right choice, as the harness reads it."""
    if isinstance(right, list) and len(right) == 1:
        right = right[0]
    if isinstance(right, list):
        raise RowError(f"several choices are right, {shown(right)}; here one is")
    if isinstance(right, str):
        if right not in choices:
            raise RowError(f"the answer is {shown(right)}, none of {shown(choices)}")
        return choices.index(right)
    if not isinstance(right, int) or not 0 <= right < len(choices):
        raise RowError(f"the answer is {shown(right)}; the choices are 0 to {len(choices) - 1}")
    return int(right)


def _answers(task: Any, doc: Any) -> list[str]:
    gold = task.doc_to_target(doc)
    if task.config.doc_to_choice is not None:
        gold = task.doc_to_choice(doc)[gold]
    answers = [str(item) for item in gold] if isinstance(gold, list | tuple) else [str(gold)]
    if not answers or not all(answer.strip() for answer in answers):
        raise RowError(f"the answer is {shown(gold)}, which is empty")
    return answers
