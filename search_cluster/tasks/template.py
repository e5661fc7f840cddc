"""Prompt templates: text with the fields ``{question}`` and ``{choices}``."""

from string import Formatter

from search_cluster.errors import TaskError
from search_cluster.tasks.example import Example

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""The labels of choices wherever a prompt lists them."""
FIELDS = ("question", "choices")
"""The fields that a template may name."""


def check_template(template: str) -> None:
    """Refuse a template that could not be filled.

    Raises:
        TaskError: it has a broken brace, a field that is none of `FIELDS`, no ``{question}``, or
            white space at its end (an answer's tokens would not start where they do in running
            text).
    """
    try:
        fields = [
            (name, spec, conversion) for _, name, spec, conversion in Formatter().parse(template)
        ]
    except ValueError as error:
        raise TaskError(
            f"template {template!r}: {error}; write {{{{ and }}}} for literal braces"
        ) from error
    named = [name for name, _, _ in fields if name is not None]
    for name, spec, conversion in fields:
        if name is not None and (name not in FIELDS or spec or conversion):
            raise TaskError(
                f"template {template!r} has the field {{{name}}}; the fields are {{question}} and "
                f"{{choices}}"
            )
    if "question" not in named:
        raise TaskError(f"template {template!r} never asks: add the field {{question}}")
    if template != template.rstrip():
        raise TaskError(f"template {template!r} ends with white space; remove it")


def names_choices(template: str) -> bool:
    """Whether a template that could be filled lists the choices."""
    return any(name == "choices" for _, name, _, _ in Formatter().parse(template))


def render(template: str, example: Example) -> str:
    """The template filled with the example's question and choices.

    Choices become lines ``A. text``.
    """
    lines = (f"{LETTERS[index]}. {text}" for index, text in enumerate(example.choices))
    return template.format(question=example.question, choices="\n".join(lines))
