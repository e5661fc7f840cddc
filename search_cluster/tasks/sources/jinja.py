"""Jinja templates in the harness' style, over data that nobody trusts.

Templates run in an immutable sandbox: they can neither reach Python's insides nor change a row. A
name that is not there is an error, never an empty text. Line ends stay as they are, and
``regex_replace`` is the harness' filter of that name.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from search_cluster.errors import TaskError, did_you_mean, in_one_line
from search_cluster.tasks.raw_examples import RowError

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.sandbox import ImmutableSandboxedEnvironment

_MARKS = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


def has_marks(text: str) -> bool:
    """Whether a text is a template: it holds ``{{...}}`` or ``{%...%}``."""
    return _MARKS.search(text) is not None


def names_in(text: str) -> set[str]:
    """The names that a template asks its values for.

    Raises:
        TaskError: it is no template.
    """
    from jinja2 import meta

    _compiled(text)
    return meta.find_undeclared_variables(_environment().parse(text))


def fill(text: str, values: Mapping[str, Any], what: str) -> str:
    """The template filled.

    Args:
        text: the template.
        values: what its names stand for.
        what: which field is filled, for messages.

    Raises:
        RowError: it can't be filled with these values; the message names the field.
        TaskError: it is no template.
    """
    template = _compiled(text)
    try:
        return template.render(values)
    except Exception as error:  # an expression may raise whatever Python does
        reason = in_one_line(error)
        meant = ""
        if missing := re.match(r"'(\w+)' is undefined", reason):
            meant = did_you_mean(missing[1], values) or f" (there are {', '.join(sorted(values))})"
        raise RowError(f"{what}: {reason}{meant}") from error


@lru_cache(maxsize=256)
def _compiled(text: str) -> "Template":
    from jinja2 import TemplateSyntaxError

    try:
        return _environment().from_string(text)
    except TemplateSyntaxError as error:
        raise TaskError(f"template {text!r} is no jinja: {error.message}") from error


@lru_cache(maxsize=1)
def _environment() -> "ImmutableSandboxedEnvironment":
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    made = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    made.filters["regex_replace"] = _regex_replace
    return made


def _regex_replace(text: str, pattern: str, repl: str, count: int = 0) -> str:
    """As the harness' filter."""
    return re.sub(pattern, repl, text, count=count)
