"""The one implementation of `Task`: templates, a grader and a source of examples, declared in one expression.

A task of your own is one Python file that exposes ``TASK`` (pass the file's path where a task's name is expected)::

    from search_cluster.tasks.graders import grade_number
    from search_cluster.tasks.simple import generate_task
    from search_cluster.tasks.user_rows import rows_source

    ROWS = [{"question": f"What is twice {n}?", "answer": str(2 * n)} for n in range(1000)]

    TASK = generate_task(
        name="doubling",
        description="twice a number",
        chat="{question} Answer with the number only.",
        source=rows_source(ROWS),
        grader=grade_number,
        grader_version="1",
        max_new_tokens=8,
    )

``choice_task`` is the same without grader and token limit: its choices are scored. Whoever changes what a grader does
changes ``grader_version``; templates enter the version by themselves.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from search_cluster.errors import TaskError
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import SPLITS, AnswerKind, LoadedExamples, Prompt
from search_cluster.tasks.template import check_template, render

Source = Callable[[str, str, Path | None], LoadedExamples]
"""(task name, split, data_dir) -> the examples of that split."""
Grader = Callable[[Example, str], float]
"""(example, answer) -> reward in [0, 1]."""

DEFAULT_PLAIN = "Question: {question}\nAnswer:"
"""How a base model is asked unless a task says otherwise."""
CHOICE_GRADER_VERSION = "choice-text-1"
_VERSION_HEX_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class SimpleTask:
    """Implements `Task`; built by `choice_task` and `generate_task`, which derive the version and check templates."""

    name: str
    version: str
    kind: AnswerKind
    description: str
    chat: str
    """Template of the user message for an instruct model."""
    plain: str
    """Template of the whole prompt for a base model."""
    source: Source
    grader: Grader
    max_new_tokens: int = 0
    stop_strings: tuple[str, ...] = ()

    def load(self, split: str, data_dir: Path | None) -> LoadedExamples:
        """All examples of a split, in a fixed order.

        Raises:
            TaskError: no such split, or not one good row.
        """
        if split not in SPLITS:
            raise TaskError(f"split {split!r} of task {self.name}; the splits are {', '.join(SPLITS)}")
        return self.source(self.name, split, data_dir)

    def prompt(self, example: Example) -> Prompt:
        """Both templates filled; choices are scored as they are."""
        choices = example.choices if self.kind is AnswerKind.CHOICE else ()
        return Prompt(chat=render(self.chat, example), plain=render(self.plain, example), choices=choices)

    def grade(self, example: Example, output: str) -> float:
        """The grader's reward in [0, 1]."""
        return self.grader(example, output)


def _grade_choice(example: Example, output: str) -> float:
    return float(output == example.gold)


def _version(kind: AnswerKind, grader_version: str, *settings: object) -> str:
    """A digest of everything that decides what is asked and how the answer is graded."""
    content = json.dumps([kind, grader_version, *settings], ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:_VERSION_HEX_DIGITS]


def choice_task(*, name: str, description: str, source: Source, chat: str, plain: str = DEFAULT_PLAIN) -> SimpleTask:
    """A task whose choices are scored; the right text earns 1, any other 0.

    Raises:
        TaskError: a template that can't be filled.
    """
    check_template(chat)
    check_template(plain)
    return SimpleTask(
        name=name,
        version=_version(AnswerKind.CHOICE, CHOICE_GRADER_VERSION, chat, plain),
        kind=AnswerKind.CHOICE,
        description=description,
        chat=chat,
        plain=plain,
        source=source,
        grader=_grade_choice,
    )


def generate_task(
    *,
    name: str,
    description: str,
    source: Source,
    chat: str,
    plain: str = DEFAULT_PLAIN,
    grader: Grader,
    grader_version: str,
    max_new_tokens: int,
    stop_strings: tuple[str, ...] = (),
) -> SimpleTask:
    """A task whose answer is decoded greedily and graded as text.

    Args:
        name: the task's name on command lines, in keys and in corpora.
        description: one line.
        source: where examples come from.
        chat: template of the user message for an instruct model.
        plain: template of the whole prompt for a base model.
        grader: the reward of an answer; importable from a module, so that workers find it.
        grader_version: changes whenever the grader's behaviour does.
        max_new_tokens: greedy tokens per answer at most, from 1.
        stop_strings: the answer ends before the first of these.

    Raises:
        TaskError: a template that can't be filled, or no token to answer with.
    """
    check_template(chat)
    check_template(plain)
    if max_new_tokens < 1:
        raise TaskError(f"max_new_tokens of task {name} is {max_new_tokens}; an answer takes at least 1")
    return SimpleTask(
        name=name,
        version=_version(AnswerKind.GENERATE, grader_version, chat, plain, max_new_tokens, list(stop_strings)),
        kind=AnswerKind.GENERATE,
        description=description,
        chat=chat,
        plain=plain,
        source=source,
        grader=grader,
        max_new_tokens=max_new_tokens,
        stop_strings=stop_strings,
    )
