"""The one implementation of `Task`, declared in one expression.

It joins templates, a grader and a source of examples.

A task of your own is one Python file that exposes ``TASK``. Pass the file's path where a task's
name is expected::

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

``choice_task`` is the same without grader and token limit: its choices are scored. Whoever changes
what a grader does changes ``grader_version``; templates, and graders of this package, enter the
version by themselves.

``wordings`` declare other templates that ask the same; together with other orders of listed choices
and other distractors for scored ones they make the task's perturbations
(`search_cluster.tasks.perturbation.perturbations`).
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsFloat

from search_cluster.errors import InvalidValueError, TaskError
from search_cluster.tasks.example import Example
from search_cluster.tasks.grading.gold import gold_check_of
from search_cluster.tasks.grading.graders import CHOICE_GRADER_VERSION, grade_choice, grade_letter
from search_cluster.tasks.loading import Grader, Source, load_checked
from search_cluster.tasks.perturbation.wordings import Wording, check_wordings
from search_cluster.tasks.task import AnswerKind, LoadedExamples, Prompt, require_split
from search_cluster.tasks.template import check_template, names_choices, render

DEFAULT_PLAIN = "Question: {question}\nAnswer:"
"""How a base model is asked unless a task says otherwise."""
DEFAULT_PLAIN_WITH_CHOICES = "Question: {question}\n{choices}\nAnswer:"
"""The same for a task whose chat template lists the choices."""
_VERSION_HEX_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class SimpleTask:
    """Implements `Task`.

    `choice_task` and `generate_task` build it: they derive the version and check the templates.
    """

    name: str
    """The task's name on command lines, in keys and in corpora."""
    version: str
    """A digest of everything that decides what is asked and how the answer is graded."""
    kind: AnswerKind
    """How an answer comes out of the model."""
    description: str
    """One line for ``search-cluster tasks``."""
    chat: str
    """The template of the user message for an instruct model."""
    plain: str
    """The template of the whole prompt for a base model."""
    source: Source
    """Where the examples come from."""
    grader: Grader
    """What gives an answer its reward."""
    max_new_tokens: int = 0
    """The largest number of greedy tokens in an answer; 0 if choices are scored."""
    stop_strings: tuple[str, ...] = ()
    """The answer ends before the first of these."""
    wordings: tuple[Wording, ...] = ()
    """Other templates that ask the same; an example's ``wording`` counts them from 1."""

    @property
    def num_wordings(self) -> int:
        """The number of wordings beside the usual one."""
        return len(self.wordings)

    @property
    def lists_choices(self) -> bool:
        """Whether prompts of both styles show the choices."""
        return names_choices(self.chat) and names_choices(self.plain)

    def load(self, split: str, data_dir: Path | None) -> LoadedExamples:
        """All examples of a split, in a fixed order.

        Equal questions of several splits are kept apart, unless the source has done so (its
        ``keeps_apart`` is true). Examples whose gold answer the grader can't read are listed with
        the malformed rows.

        Raises:
            TaskError: there is no such split, or not one good row, or letters are asked for and the
                choices not shown.
        """
        require_split(split, self.name)
        loaded = load_checked(self.source, self.name, self.grader, split, data_dir)
        if self.grader is grade_letter and not self.lists_choices:
            self._require_choices(loaded)
        return loaded

    def _require_choices(self, loaded: LoadedExamples) -> None:
        """Refuse a question for a letter of choices that nobody shows."""
        for example in loaded.examples:
            if not all(choice in example.question for choice in example.choices):
                raise TaskError(
                    f"task {self.name} asks for a choice's letter, but the prompt of "
                    f"{example.source} does not show the choices; write {{choices}} into its "
                    "templates, chat and plain"
                )

    def prompt(self, example: Example) -> Prompt:
        """Both templates of the example's wording filled; choices are scored as they are.

        Raises:
            TaskError: the task has no such wording.
        """
        if not 0 <= example.wording <= len(self.wordings):
            raise TaskError(
                f"example {example.example_id} asks in wording {example.wording} of task "
                f"{self.name}, which has the wordings 0 to {len(self.wordings)}; use the version "
                "of the task that the example comes from"
            )
        wording = self.wordings[example.wording - 1] if example.wording else self
        choices = example.choices if self.kind is AnswerKind.CHOICE else ()
        return Prompt(
            chat=render(wording.chat, example),
            plain=render(wording.plain, example),
            choices=choices,
        )

    def grade(self, example: Example, output: str) -> float:
        """The grader's reward in [0, 1].

        Raises:
            InvalidValueError: the grader gave no number.
        """
        reward: object = self.grader(example, output)
        if not isinstance(reward, SupportsFloat):
            raise InvalidValueError(
                f"the grader of task {self.name} gave {reward!r}; a reward is a number from 0 to 1"
            )
        return float(reward)


def _version(
    kind: AnswerKind, grader_version: str, wordings: tuple[Wording, ...], *settings: object
) -> str:
    """A digest of everything that decides what is asked and how the answer is graded."""
    content: list[object] = [kind, grader_version, *settings]
    if wordings:
        content.append([[wording.chat, wording.plain] for wording in wordings])
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[
        :_VERSION_HEX_DIGITS
    ]


def _checked_plain(chat: str, plain: str | None, wordings: tuple[Wording, ...]) -> str:
    if plain is None:
        check_template(chat)
        plain = DEFAULT_PLAIN_WITH_CHOICES if names_choices(chat) else DEFAULT_PLAIN
    check_wordings(Wording(chat=chat, plain=plain), wordings)
    return plain


def choice_task(
    *,
    name: str,
    description: str,
    source: Source,
    chat: str,
    plain: str | None = None,
    wordings: tuple[Wording, ...] = (),
) -> SimpleTask:
    """A task whose choices are scored; the right text earns 1, any other 0.

    Args:
        name: the task's name on command lines, in keys and in corpora.
        description: one line for ``search-cluster tasks``.
        source: where examples come from.
        chat: template of the user message for an instruct model.
        plain: template of the whole prompt for a base model; ``None`` takes the usual one.
        wordings: other templates that ask the same.

    Raises:
        TaskError: a template can't be filled, or a wording asks something else.
    """
    plain = _checked_plain(chat, plain, wordings)
    return SimpleTask(
        name=name,
        version=_version(AnswerKind.CHOICE, CHOICE_GRADER_VERSION, wordings, chat, plain),
        kind=AnswerKind.CHOICE,
        description=description,
        chat=chat,
        plain=plain,
        source=source,
        grader=grade_choice,
        wordings=wordings,
    )


def generate_task(
    *,
    name: str,
    description: str,
    source: Source,
    chat: str,
    plain: str | None = None,
    wordings: tuple[Wording, ...] = (),
    grader: Grader,
    grader_version: str,
    max_new_tokens: int,
    stop_strings: tuple[str, ...] = (),
) -> SimpleTask:
    """A task whose answer is decoded greedily and graded as text.

    Args:
        name: the task's name on command lines, in keys and in corpora.
        description: one line for ``search-cluster tasks``.
        source: where examples come from.
        chat: template of the user message for an instruct model.
        plain: template of the whole prompt for a base model; ``None`` takes the usual one.
        wordings: other templates that ask the same.
        grader: the reward of an answer; importable from a module, so that workers find it.
        grader_version: changes whenever the grader's behaviour does.
        max_new_tokens: the largest number of greedy tokens in an answer, from 1.
        stop_strings: the answer ends before the first of these.

    Raises:
        TaskError: a template can't be filled, a wording asks something else, or there is no token
            to answer with.
    """
    plain = _checked_plain(chat, plain, wordings)
    gold_check = gold_check_of(grader)
    if gold_check is not None and grader_version != gold_check.version:
        grader_version = f"{grader_version} {gold_check.version}"  # ours may change, too
    if max_new_tokens < 1:
        raise TaskError(
            f"max_new_tokens of task {name} is {max_new_tokens}; an answer takes at least 1"
        )
    return SimpleTask(
        name=name,
        version=_version(
            AnswerKind.GENERATE,
            grader_version,
            wordings,
            chat,
            plain,
            max_new_tokens,
            list(stop_strings),
        ),
        kind=AnswerKind.GENERATE,
        description=description,
        chat=chat,
        plain=plain,
        source=source,
        grader=grader,
        max_new_tokens=max_new_tokens,
        stop_strings=stop_strings,
        wordings=wordings,
    )
