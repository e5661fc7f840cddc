"""Prompt templates: text with the fields ``{question}`` and ``{choices}``, or jinja.

In jinja, as the harness writes it, ``{{question}}`` is the question and ``{{choices}}`` the list of
choices.
"""

import re
from string import Formatter

from search_cluster.errors import TaskError
from search_cluster.tasks.example import Example
from search_cluster.tasks.raw_examples import RowError
from search_cluster.tasks.sources.jinja import fill, has_marks, names_in

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""The labels of choices wherever a prompt lists them."""
FIELDS = ("question", "choices")
"""The fields that a template may name."""
_PLAIN_FIELD = re.compile(r"(?<!\{)\{(?:question|choices)\}(?!\})")


def check_template(template: str) -> None:
    """Refuse a template that could not be filled.

    Raises:
        TaskError: it has a broken brace, a field that is none of `FIELDS`, no question, or white
            space at its end (an answer's tokens would not start where they do in running text).
    """
    if is_jinja(template):
        named = names_in(template)
        other = next(iter(sorted(named - {*FIELDS})), None)
        if other is not None:
            raise TaskError(
                f"template {template!r} has the field {{{{{other}}}}}; a prompt has "
                "{{question}} and {{choices}}: write other columns into [fields], such as "
                'question = "{{passage}} {{question}}"'
            )
        if mixed := _PLAIN_FIELD.search(template):
            raise TaskError(
                f"template {template!r} has {mixed[0]} beside jinja; write {{{mixed[0]}}}"
            )
    else:
        named = _named(template)
    if "question" not in named:
        raise TaskError(f"template {template!r} never asks: add the field {{question}}")
    if template != template.rstrip():
        raise TaskError(f"template {template!r} ends with white space; remove it")


def is_jinja(template: str) -> bool:
    """Whether a template is jinja: ``{{`` means a brace where ``{question}`` is the field."""
    if not has_marks(template):
        return False
    try:
        return "question" not in {name for _, name, _, _ in Formatter().parse(template)}
    except ValueError:
        return True


def _named(template: str) -> set[str]:
    """The fields of a template that is not jinja."""
    try:
        fields = [
            (name, spec, conversion) for _, name, spec, conversion in Formatter().parse(template)
        ]
    except ValueError as error:
        raise TaskError(
            f"template {template!r}: {error}; write {{{{ and }}}} for literal braces"
        ) from error
    for name, spec, conversion in fields:
        if name is not None and (name not in FIELDS or spec or conversion):
            raise TaskError(
                f"template {template!r} has the field {{{name}}}; the fields are {{question}} and "
                f"{{choices}}"
            )
    return {name for name, _, _ in fields if name is not None}


def names_choices(template: str) -> bool:
    """Whether a template that could be filled lists the choices."""
    return "choices" in (names_in(template) if is_jinja(template) else _named(template))


def render(template: str, example: Example) -> str:
    """The template filled with the example's question and choices.

    Where it is not jinja, choices become lines ``A. text``.

    Raises:
        TaskError: it is jinja that this example can't fill, or that ends with white space then.
    """
    if is_jinja(template):
        return _render_jinja(template, example)
    lines = (f"{LETTERS[index]}. {text}" for index, text in enumerate(example.choices))
    return template.format(question=example.question, choices="\n".join(lines))


def _render_jinja(template: str, example: Example) -> str:
    values = {"question": example.question, "choices": list(example.choices)}
    try:
        text = fill(template, values, "the prompt")
    except RowError as error:
        raise TaskError(f"template {template!r} on {example.source}: {error}") from error
    if text != text.rstrip():
        raise TaskError(
            f"template {template!r} ends with white space on {example.source}; write it so that "
            "the prompt ends where the answer begins"
        )
    return text
