"""The task protocol: how an example is asked and how an answer is graded.

The protocol knows nothing about tokenizers and models; `search_cluster.model.prompting` turns a
`Prompt` into tokens.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, runtime_checkable

from search_cluster.errors import TaskError, UnreadableDataError
from search_cluster.tasks.example import Example

SPLITS = ("train", "validation", "test")
"""The names of splits; every task maps its own onto these."""


def require_split(split: str, task: str) -> None:
    """Pass if there are splits of that name.

    Raises:
        TaskError: there are not; the message names the task.
    """
    if split not in SPLITS:
        raise TaskError(f"split {split!r} of task {task}; the splits are {', '.join(SPLITS)}")


class AnswerKind(StrEnum):
    """How an answer comes out of the model."""

    CHOICE = "choice"
    """Each choice's text is scored as a continuation of the prompt, and the best mean
    log-probability per token wins."""
    GENERATE = "generate"
    """The answer is decoded greedily and graded as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What to ask, in both styles.

    The model decides which style applies: chat template or plain text.
    """

    chat: str
    """The user message for an instruct model."""
    plain: str
    """The whole prompt for a base model. It ends where the answer begins; before choices without
    white space at the end."""
    delimiter: str = " "
    """What stands between the plain prompt and a choice; after a chat template nothing does."""
    choices: tuple[str, ...] = ()
    """The texts that are scored as continuations, in the order of the example's choices; only
    CHOICE tasks have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MalformedRow:
    """A row that could not be used, and why."""

    source: str
    """The file and the line, as ``file:line``."""
    reason: str
    """Why the row could not be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedExamples:
    """The examples of one split and the rows that were skipped."""

    examples: tuple[Example, ...]
    """The examples in a fixed order, de-duplicated by content."""
    malformed: tuple[MalformedRow, ...] = ()
    """The rows that could not be used."""
    num_duplicates: int = 0
    """The number of good rows whose content had come before."""


@runtime_checkable
class Task(Protocol):
    """A prompt format plus a reward.

    Implementations are immutable, cheap, and rebuilt from a spec (`search_cluster.tasks.registry`).
    """

    @property
    def name(self) -> str:
        """The task's name on command lines, in keys and in corpora."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the prompt or the grader does.

        Old verdicts are then not taken for new ones.
        """
        ...

    @property
    def kind(self) -> AnswerKind:
        """How an answer comes out of the model."""
        ...

    @property
    def max_new_tokens(self) -> int:
        """The largest number of greedy tokens in an answer; 0 for CHOICE tasks."""
        ...

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """A generated answer ends before the first of these."""
        ...

    @property
    def description(self) -> str:
        """One line for ``search-cluster tasks``."""
        ...

    def load(self, split: str, data_dir: Path | None) -> LoadedExamples:
        """All examples of a split, in a fixed order.

        Args:
            split: one of `SPLITS`.
            data_dir: the folder of local files, laid out as `search_cluster/tasks/README.md` says;
                ``None`` stands for the hub (or built-in data).

        Raises:
            TaskError: there is no such split, or not one good row.
        """
        ...

    def prompt(self, example: Example) -> Prompt:
        """How the example is asked."""
        ...

    def grade(self, example: Example, output: str) -> float:
        """The reward in [0, 1] of a generated answer, or of the chosen choice's text."""
        ...


def load_if_any(task: Task, split: str, data_dir: Path | None) -> LoadedExamples:
    """The examples of a split; none where the task lacks it.

    Raises:
        UnreadableDataError: the task has it, and it can't be read here; another machine would.
    """
    try:
        return task.load(split, data_dir)
    except UnreadableDataError:
        raise
    except TaskError:
        return LoadedExamples(examples=())
