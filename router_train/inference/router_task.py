"""The task that a router was trained on, found again."""

from pathlib import Path
from shlex import quote

from search_cluster.corpus.task import task_file_needed
from search_cluster.errors import TaskError
from search_cluster.tasks.kept import TASKS_FOLDER, spec_of_kept
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.task import Task


def task_of_router(router: Path, name: str, spec: str | None) -> Task:
    """The task to ask a router about.

    Args:
        router: the router's folder, which may keep its task.
        name: the name of the task that it was trained on.
        spec: the task that the user names; ``None``: the router's own.

    Raises:
        TaskError: there is no such task.
    """
    if spec:
        return get_task(spec)
    try:
        return get_task(spec_of_kept(name, router, *_run_folders(router)))
    except TaskError as error:
        raise task_file_needed("the router was trained", name) from error


def _run_folders(router: Path) -> list[Path]:
    """The run folder around ``RUN/routers/NAME``."""
    return [router.absolute().parent.parent] if router.absolute().parent.name == "routers" else []


def task_flag(router: Path, spec: str) -> str:
    """The flag that names a router's task in a command to try next; none if the router keeps it."""
    return "" if (router / TASKS_FOLDER).is_dir() else f" --task {quote(spec)}"
