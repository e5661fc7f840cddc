"""Other wordings of a task: templates that ask the same, so that a right answer stays right."""

from collections.abc import Sequence
from dataclasses import dataclass

from search_cluster.errors import TaskError
from search_cluster.tasks.template import check_template, names_choices


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """A pair of templates, immutable."""

    chat: str
    """The template of the user message for an instruct model."""
    plain: str = ""
    """The template of the whole prompt for a base model; empty gives ``chat`` and a line
    ``Answer:``."""

    def __post_init__(self) -> None:
        if not self.plain:
            object.__setattr__(self, "plain", f"{self.chat}\nAnswer:")


def check_wordings(usual: Wording, others: Sequence[Wording]) -> None:
    """Refuse templates that can't be filled, or wordings that don't ask the same in other words.

    Raises:
        TaskError: a template is broken, two of one style are equal, or some list the choices and
            others don't.
    """
    wordings = (usual, *others)
    for style in ("chat", "plain"):
        templates = [str(getattr(wording, style)) for wording in wordings]
        for number, template in enumerate(templates):
            check_template(template)
            if template in templates[:number]:
                raise TaskError(
                    f"two wordings have the {style} template {template!r}; each wording has its own"
                )
            if names_choices(template) != names_choices(templates[0]):
                raise TaskError(
                    f"the {style} templates {templates[0]!r} and {template!r} don't ask the same: "
                    f"one of them lists {{choices}}; let all of them do so, or none"
                )


QUESTION_WORDINGS = (
    Wording(chat="Question: {question}", plain="Q: {question}\nA:"),
    Wording(chat="Please answer this question: {question}", plain="{question}\nAnswer:"),
    Wording(chat="{question}\nGive only the answer.", plain="Question: {question}\nThe answer is:"),
    Wording(
        chat="Answer the following question.\n{question}",
        plain="Answer this.\nQuestion: {question}\nAnswer:",
    ),
    Wording(
        chat="Here is a question for you. {question}",
        plain="Here is a question: {question}\nIts answer:",
    ),
    Wording(chat="{question}\nAnswer:", plain="Problem: {question}\nSolution:"),
    Wording(chat="{question}\nAnswer in a few words.", plain="Question: {question}\nShort answer:"),
    Wording(chat="I have a question: {question}", plain="Student: {question}\nTeacher:"),
    Wording(chat="Quiz: {question}", plain="Quiz question: {question}\nCorrect answer:"),
)
"""Wordings for tasks that ask ``{question}`` and nothing else."""
