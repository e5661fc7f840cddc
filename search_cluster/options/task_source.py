"""What belongs to ``--task`` in every command that takes it: where the task comes from.

``--include-path``, ``--num-fewshot`` and ``--field`` become options of the task's spec
(`search_cluster.task_spec`), so that the one text names the task from then on: in the settings, in
workers, in what a run folder keeps.
"""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.models import ArgumentInfo, OptionInfo

from search_cluster.errors import ConfigError
from search_cluster.task_spec import INCLUDE_PATH, MORE_OF_ONE, NUM_FEWSHOT, spec_with

TASK_FLAG = "--task"
TASK_METAVAR = "TASK"

FIELD = "field"
_OPTIONS = {
    INCLUDE_PATH: Annotated[
        Path | None,
        typer.Option(
            help="Folder of harness task files (YAML) in which --task lm-eval:NAME looks first."
        ),
    ],
    NUM_FEWSHOT: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Examples shown before a question of lm-eval:NAME.",
            show_default="the task's",
        ),
    ],
    FIELD: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=TEMPLATE",
            help="Where the rows of a file or of hub:NAME hold the question, choices and answer: "
            "a column or jinja, such as answer='{{label}}'; may be given again.",
        ),
    ],
}


def task_parameters(parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """The options to add to a command with these parameters; none if it takes no task."""
    if not task_names(parameters):
        return []
    flags = {flag for parameter in parameters for flag in flags_of(parameter)}
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in _OPTIONS.items()
        if _flag(name) not in flags
    ]


def task_names(parameters: list[inspect.Parameter]) -> list[str]:
    """The parameters of a command that name tasks: ``--task``, or an argument TASK."""
    return [item.name for item in parameters if TASK_FLAG in flags_of(item) or _is_task(item)]


def _is_task(parameter: inspect.Parameter) -> bool:
    return any(
        isinstance(item, ArgumentInfo) and item.metavar == TASK_METAVAR
        for item in get_args(parameter.annotation)[1:]
    )


def flags_of(parameter: inspect.Parameter) -> tuple[str, ...]:
    """The flags that set a parameter of a command."""
    if get_origin(parameter.annotation) is not Annotated:
        return ()
    for item in get_args(parameter.annotation)[1:]:
        if isinstance(item, OptionInfo):
            # In Annotated, the first flag stands where the default does elsewhere.
            said = (item.default, *(item.param_decls or ()))
            named = tuple(flag for flag in said if isinstance(flag, str) and flag.startswith("-"))
            return named or (_flag(parameter.name),)
    return ()


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def take_task_source(values: dict[str, Any], named_by: list[str]) -> None:
    """Write the options of a task's source into the task's spec.

    Args:
        values: what a command line set, by parameter; the options are taken out.
        named_by: the parameters that name tasks.

    Raises:
        ConfigError: no task is named, or a field has no name.
        TaskError: the task's spec can't be read.
    """
    more = _spec_options(values)
    if not more:
        return
    named = [name for name in named_by if values.get(name)]
    if not named:
        flags = ", ".join(_flag(key) for key in more if key in _OPTIONS) or _flag(FIELD)
        raise ConfigError(f"{flags} belongs to {TASK_FLAG}; name the task with it")
    for name in named:
        value = values[name]
        values[name] = (
            [spec_with(spec, more) for spec in value]
            if isinstance(value, list)
            else spec_with(value, more)
        )


def _spec_options(values: dict[str, Any]) -> Mapping[str, str]:
    more = {
        name: str(value)
        for name in (INCLUDE_PATH, NUM_FEWSHOT)
        if (value := values.pop(name, None)) is not None
    }
    for text in values.pop(FIELD, None) or ():
        name, sign, template = text.partition("=")
        if not sign or not name:
            raise ConfigError(
                f"--field is {text!r}; it is NAME=TEMPLATE, such as answer='{{{{a}}}}'"
            )
        more[name] = f"{more[name]}{MORE_OF_ONE}{template}" if name in more else template
    return more
