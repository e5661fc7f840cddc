"""All tasks by name or path: the one way from a string to a task.

Processes pass tasks to each other as the string that names them (`absolute_spec`), and each builds
its own.
"""

from difflib import get_close_matches
from pathlib import Path

from search_cluster.errors import TaskError
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
from search_cluster.tasks.python_task import load_python_task
from search_cluster.tasks.task import Task
from search_cluster.tasks.toml_task import load_toml_task

_TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        *(CAPITALS, ELEMENTS_TASK, ARITHMETIC),
        *(*ARC_TASKS, GSM8K, MATH, MMLU, TRUTHFULQA_MC1, SST2, AIME24, AGIEVAL, SQUAD_V2),
    )
}
_LOADERS = {".py": load_python_task, ".toml": load_toml_task}
_ROWS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
"""Files that somebody may take for a task."""


def list_tasks() -> tuple[Task, ...]:
    """The tasks that have a name: first the built-in ones, then the benchmarks."""
    return tuple(_TASKS.values())


def absolute_spec(spec: str) -> str:
    """The spec as a process with another working directory needs it.

    Names stay as they are, and paths are made absolute.
    """
    return str(Path(spec).absolute()) if Path(spec).suffix in _LOADERS else spec


def get_task(spec: str) -> Task:
    """The task of that name, or the one that a file describes.

    Args:
        spec: a name that `list_tasks` knows, or the path of a user's ``.py`` file that exposes
            ``TASK`` (the file is run), or of a ``.toml`` file beside its JSONL data.

    Raises:
        TaskError: there is no such name or file, or the file does not describe a task.
    """
    if spec in _TASKS:
        return _TASKS[spec]
    path = Path(spec)
    if path.suffix in _ROWS:
        raise TaskError(
            f"{spec} holds rows, not a task: describe in a .toml file beside it how they are asked "
            "(search_cluster/tasks/README.md shows one), and name that file"
        )
    if path.suffix not in _LOADERS:
        raise TaskError(
            f"no task is called {spec!r}{_suggestion(spec)}; run `search-cluster tasks` for the "
            "list"
        )
    if not path.is_file():
        raise TaskError(
            f"task file {path.absolute()} does not exist; check the path, or name a built-in task"
        )
    task = _LOADERS[path.suffix](path)
    if task.name in _TASKS:
        raise TaskError(
            f"{path} calls its task {task.name!r}, which is a built-in task; choose another name"
        )
    return task


def _suggestion(spec: str) -> str:
    matches = get_close_matches(spec, _TASKS, n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(matches)}?)" if matches else ""
