"""A task of a data file or a data set alone: what a description would say is in the options.

Nothing is needed where the rows have our layout: choices are scored where there are some, else the
answer is generated and compared as a number, if all of them are numbers, or as a text.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from search_cluster.errors import TaskError, did_you_mean
from search_cluster.task_spec import HUB_PREFIX, MORE_OF_ONE, TaskSpec
from search_cluster.tasks.grading.numbers import only_number
from search_cluster.tasks.raw_examples import Row
from search_cluster.tasks.simple import SimpleTask
from search_cluster.tasks.sources.described_task import described_task
from search_cluster.tasks.sources.description import TaskDescription
from search_cluster.tasks.sources.files import read_table
from search_cluster.tasks.sources.mapping import FieldMapping, mapped_rows

_OF_FIELDS = ("question", "choices", "answer", "difficulty", "split")
_OF_PROMPT = ("chat", "plain")
_OF_ANSWER = ("grader", "max_new_tokens", "stop")
_OF_SPLITS = ("train", "validation", "test")
_OF_TASK = ("name", "kind", "answer_base", "configuration")
OPTIONS = (*_OF_FIELDS, *_OF_PROMPT, *_OF_ANSWER, *_OF_SPLITS, *_OF_TASK)
"""What may be said of a data file or a data set."""
_NUMBERS = ("answer_base", "max_new_tokens")
_USUAL = {"chat": "{question}", "max_new_tokens": 32, "stop": "\n"}


def rows_description(spec: TaskSpec) -> TaskDescription:
    """What a spec of a data file or a data set says, with our defaults.

    Raises:
        TaskError: an option is unknown or has no such value, or the file can't be read.
    """
    options = _checked(spec)
    fields = {key: _listed(options[key]) for key in _OF_FIELDS if key in options}
    values: dict[str, Any] = {
        "name": options.get("name", _name_of(spec.base)),
        "description": f"rows of {spec.base}",
        "kind": options.get("kind", ""),
        "source": spec.base,
        "prompt": {"chat": options.get("chat", _USUAL["chat"]), "plain": options.get("plain")},
        "configuration": options.get("configuration"),
        "answer_base": options.get("answer_base"),
        "fields": fields or None,
        "splits": {key: options[key] for key in _OF_SPLITS if key in options} or None,
    }
    is_number = False
    if not spec.base.startswith(HUB_PREFIX) and not values["kind"]:
        mapping = _described(spec, {**values, "kind": "generate"}).fields
        values["kind"], is_number = _looked_at(Path(spec.base), mapping)
    elif not values["kind"]:
        values["kind"] = "choice" if "choices" in fields else "generate"
    if values["kind"] == "generate":
        values["answer"] = {
            "grader": options.get("grader", "number" if is_number else "exact"),
            "max_new_tokens": options.get("max_new_tokens", _USUAL["max_new_tokens"]),
            "stop_strings": [text for text in [options.get("stop", _USUAL["stop"])] if text],
        }
    return _described(spec, values)


def _described(spec: TaskSpec, values: Mapping[str, Any]) -> TaskDescription:
    try:
        return TaskDescription.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise TaskError(
            f"task {spec}: {'.'.join(map(str, first['loc']))}: {first['msg']}; see "
            "search_cluster/tasks/README.md"
        ) from error


def load_rows_task(spec: TaskSpec) -> SimpleTask:
    """The task of a data file or a data set.

    Raises:
        TaskError: see `rows_description`; or a template can't be filled.
    """
    try:
        return described_task(rows_description(spec), Path.cwd())
    except TaskError as error:
        raise TaskError(f"{spec.base}: {error}") from error


def _checked(spec: TaskSpec) -> dict[str, Any]:
    for key in spec.options:
        if key not in OPTIONS:
            raise TaskError(
                f"{key!r} is no option{did_you_mean(key, OPTIONS)}; there are {', '.join(OPTIONS)}"
            )
    options: dict[str, Any] = dict(spec.options)
    for key in _NUMBERS:
        if key in options:
            if not options[key].isdecimal():
                raise TaskError(f"{key} is {options[key]!r}; it is a whole number")
            options[key] = int(options[key])
    return options


def _listed(text: str) -> str | list[str]:
    """Several templates, or the one."""
    return text.split(MORE_OF_ONE) if MORE_OF_ONE in text else text


def _name_of(base: str) -> str:
    """A task's name out of the name of its data."""
    stem = base.removeprefix(HUB_PREFIX)
    stem = stem if base.startswith(HUB_PREFIX) else Path(base).stem
    name = re.sub(r"[^a-z0-9_-]+", "_", stem.casefold()).strip("_-")[:64]
    return name if name else "rows"


def _looked_at(path: Path, mapping: FieldMapping | None) -> tuple[str, bool]:
    """The kind of a file's rows, and whether all of their answers are numbers."""
    if not path.is_file():
        raise TaskError("the file does not exist; check the path")
    if mapping is not None and mapping.choices is not None:
        return "choice", False
    rows = [
        row.value
        for row in mapped_rows(read_table(path), mapping)
        if isinstance(row, Row) and isinstance(row.value, Mapping)
    ]
    if any("choices" in row for row in rows):
        return "choice", False
    answers = [row.get("answer") for row in rows]
    return "generate", bool(answers) and all(
        isinstance(answer, int | float) or only_number(str(answer)) is not None
        for answer in answers
    )
