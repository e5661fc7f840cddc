"""A user's task as one Python file that exposes ``TASK``.

An example is in `search_cluster.tasks.simple`.

The file is run: it is the user's own code, with the user's rights.
"""

import hashlib
import importlib.util
import inspect
import re
from pathlib import Path

from search_cluster.errors import TaskError, did_you_mean
from search_cluster.tasks.simple import choice_task, generate_task
from search_cluster.tasks.task import AnswerKind, Task
from search_cluster.tasks.user_rows import rows_source


def load_python_task(path: Path) -> Task:
    """The ``TASK`` of a Python file.

    Raises:
        TaskError: the file does not run, has no ``TASK``, or it does not follow the task protocol.
    """
    module_name = f"user_task_{hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        # The user's code may raise anything, and must not end the program.
        raise TaskError(
            f"{path} does not run: {type(error).__name__}: {error}{_meant(error)}; try `python "
            f"{path}`"
        ) from error
    if not hasattr(module, "TASK"):
        raise TaskError(
            f"{path} has no TASK; end it with TASK = choice_task(...) or generate_task(...)"
        )
    task = module.TASK
    if not isinstance(task, Task):
        missing = sorted(name for name in _MEMBERS if not hasattr(task, name))
        raise TaskError(
            f"TASK in {path} is a {type(task).__name__} without {', '.join(missing)}; build it "
            "with choice_task"
        )
    _check_values(task, path)
    return task


def _meant(error: BaseException) -> str:
    """The known arguments that are nearest to one that a task file makes up."""
    unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if not isinstance(error, TypeError) or unknown is None:
        return ""
    known = {
        name
        for function in (choice_task, generate_task, rows_source)
        for name in inspect.signature(function).parameters
    }
    return did_you_mean(unknown[1], known, most=2) or f" (known: {', '.join(sorted(known))})"


_MEMBERS = (
    "name",
    "version",
    "kind",
    "max_new_tokens",
    "stop_strings",
    "description",
    "load",
    "prompt",
    "grade",
)


def _check_values(task: Task, path: Path) -> None:
    """Refuse values that would fail later, in another process."""
    for name in ("name", "version", "description"):
        value = getattr(task, name)
        if not isinstance(value, str) or not value:
            raise TaskError(
                f"TASK.{name} in {path} is {value!r}; it has to be a text that is not empty"
            )
    if not isinstance(task.kind, AnswerKind):
        raise TaskError(f"TASK.kind in {path} is {task.kind!r}; it has to be an AnswerKind")
    if (task.kind is AnswerKind.CHOICE) != (task.max_new_tokens == 0):
        raise TaskError(
            f"TASK.max_new_tokens in {path} is {task.max_new_tokens}; "
            "it is 0 for a choice task and from 1 for a generated answer"
        )
