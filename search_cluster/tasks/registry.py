"""All tasks by name or path: the one way from a string to a task.

Processes pass tasks to each other as the string that names them (`absolute_spec`), and each builds
its own.
"""

from difflib import get_close_matches
from pathlib import Path

from search_cluster.errors import TaskError, did_you_mean
from search_cluster.task_spec import (
    FILTER,
    HARNESS_OPTIONS,
    HARNESS_PREFIX,
    HARNESS_SUFFIXES,
    HUB_PREFIX,
    INCLUDE_PATH,
    NUM_FEWSHOT,
    TaskSpec,
    read_spec,
)
from search_cluster.tasks.benchmarks.agieval import AGIEVAL
from search_cluster.tasks.benchmarks.aime import AIME24
from search_cluster.tasks.benchmarks.arc import ARC_TASKS
from search_cluster.tasks.benchmarks.gsm8k import GSM8K
from search_cluster.tasks.benchmarks.hendrycks_math import MATH
from search_cluster.tasks.benchmarks.mmlu import MMLU
from search_cluster.tasks.benchmarks.squad import SQUAD_V2
from search_cluster.tasks.benchmarks.sst2 import SST2
from search_cluster.tasks.benchmarks.truthfulqa import TRUTHFULQA_MC1
from search_cluster.tasks.builtin.arithmetic import ARITHMETIC
from search_cluster.tasks.builtin.capitals import CAPITALS
from search_cluster.tasks.builtin.elements import ELEMENTS_TASK
from search_cluster.tasks.sources.files import TABLES
from search_cluster.tasks.sources.python_task import load_python_task
from search_cluster.tasks.sources.rows_task import load_rows_task
from search_cluster.tasks.sources.toml_task import load_toml_task
from search_cluster.tasks.task import Task

_TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        *(CAPITALS, ELEMENTS_TASK, ARITHMETIC),
        *(*ARC_TASKS, GSM8K, MATH, MMLU, TRUTHFULQA_MC1, SST2, AIME24, AGIEVAL, SQUAD_V2),
    )
}
_LOADERS = {".py": load_python_task, ".toml": load_toml_task}
_FILES = (*_LOADERS, *HARNESS_SUFFIXES, *TABLES)
"""What the files of tasks end in."""


def list_tasks() -> tuple[Task, ...]:
    """The tasks that have a name: first the built-in ones, then the benchmarks."""
    return tuple(_TASKS.values())


def absolute_spec(spec: str) -> str:
    """The spec as a process with another working directory needs it.

    Names stay as they are, and paths are made absolute.
    """
    read = read_spec(spec)
    return str(read.absolute(is_file=read.suffix in _FILES)) if spec not in _TASKS else spec


def get_task(spec: str) -> Task:
    """The task of that name, or the one that a file or a data set describes.

    Args:
        spec: a name that `list_tasks` knows; ``lm-eval:NAME`` for a task of EleutherAI's harness;
            ``hub:NAME`` for a data set; or the path of a user's ``.py`` file that exposes ``TASK``
            (the file is run), of a ``.toml`` file, of a task file of the harness (``.yaml``), or of
            a file with rows. Options follow after ``?`` (`search_cluster.task_spec`).

    Raises:
        TaskError: there is no such name or file, or it does not describe a task.
    """
    if spec in _TASKS:
        return _TASKS[spec]
    read = read_spec(spec)
    if read.base.startswith(HARNESS_PREFIX) or read.suffix in HARNESS_SUFFIXES:
        return _harness_task(read)
    if read.base in _TASKS:
        _refuse_options(read, "a task that has a name")
    if read.base.startswith(HUB_PREFIX):
        return _new(load_rows_task(read), spec)
    if read.suffix not in _FILES:
        raise TaskError(
            f"no task is called {spec!r}{did_you_mean(spec, _TASKS, most=3, cutoff=0.5)}; run "
            "`search-cluster tasks` for the list"
        )
    path = Path(read.base)
    if not path.is_file():
        raise TaskError(
            f"task file {path.absolute()} does not exist{_near_file(path)}; check the path, or "
            "name a built-in task"
        )
    if read.suffix in TABLES:
        return _new(load_rows_task(read), spec)
    _refuse_options(read, f"a {read.suffix} file")
    return _new(_LOADERS[read.suffix](path), spec)


def _new(task: Task, spec: str) -> Task:
    """The task, if its name is free."""
    if task.name in _TASKS:
        raise TaskError(
            f"{spec} calls its task {task.name!r}, which is a built-in task; choose another name"
        )
    return task


def _refuse_options(spec: TaskSpec, what: str) -> None:
    if spec.options:
        raise TaskError(
            f"task {spec}: {next(iter(spec.options))!r} is no option of {what}, which says all by "
            "itself; leave it out"
        )


def _harness_task(spec: TaskSpec) -> Task:
    for key in spec.options:
        if key not in HARNESS_OPTIONS:
            raise TaskError(
                f"task {spec}: {key!r} is no option of the harness' tasks"
                f"{did_you_mean(key, HARNESS_OPTIONS)}; there are {', '.join(HARNESS_OPTIONS)}"
            )
    shots = spec.options.get(NUM_FEWSHOT)
    if shots is not None and not shots.isdecimal():
        raise TaskError(f"task {spec}: num_fewshot is {shots!r}; it is a whole number from 0")
    # Reading YAML is loaded for these tasks only.
    from search_cluster.tasks.sources.harness.task import load_harness_task

    include_path = spec.options.get(INCLUDE_PATH)
    return load_harness_task(
        spec.base.removeprefix(HARNESS_PREFIX),
        include_path=None if include_path is None else Path(include_path),
        num_fewshot=None if shots is None else int(shots),
        filter_name=spec.options.get(FILTER, ""),
    )


def _near_file(path: Path) -> str:
    """Files of that folder whose names are like it."""
    if not path.parent.is_dir():
        return ""
    files = [item.name for item in path.parent.iterdir() if item.suffix in _FILES]
    matches = get_close_matches(path.name, files, n=2, cutoff=0.6)
    named = " or ".join(str(path.parent / name) for name in matches)
    return f" (did you mean {named}?)" if matches else ""
